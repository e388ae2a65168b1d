-- Everything that makes real schemas hard: names in quotes, composite keys, a table that refers to itself, a cycle,
-- keys that point nowhere or at what is not unique, columns without a type, a view, a trigger, odd indexes.
CREATE TABLE "order" ("group" TEXT NOT NULL UNIQUE, [from] TEXT, "a ""b""" INTEGER CHECK ("a ""b""" BETWEEN 1 AND 9));
CREATE TABLE region (country TEXT, code TEXT, label TEXT COLLATE NOCASE UNIQUE, PRIMARY KEY (country, code)) WITHOUT ROWID;
CREATE TABLE shop (id INTEGER PRIMARY KEY AUTOINCREMENT, country TEXT, code TEXT, tag TEXT REFERENCES "order"("group"),
  size REAL NOT NULL, twice REAL GENERATED ALWAYS AS (size * 2) VIRTUAL,
  FOREIGN KEY (country, code) REFERENCES region(country, code));
CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES staff(id), shop_id INTEGER NOT NULL REFERENCES SHOP(ID),
  name TEXT, note BLOB);
CREATE TABLE hen (id INTEGER PRIMARY KEY, egg_id INTEGER NOT NULL REFERENCES egg(id));
CREATE TABLE egg (id INTEGER PRIMARY KEY, hen_id INTEGER REFERENCES hen(id));
CREATE TABLE lost (x INTEGER REFERENCES nowhere(y), city TEXT REFERENCES shop(country));
CREATE TABLE bare (anything);
CREATE TABLE log (line TEXT);
CREATE INDEX by_size ON shop(size);
CREATE UNIQUE INDEX one_name ON staff(shop_id, name);
CREATE VIEW big AS SELECT id FROM shop WHERE size > 10;
CREATE TRIGGER noted AFTER INSERT ON bare BEGIN INSERT INTO log VALUES ('bare'); END;
