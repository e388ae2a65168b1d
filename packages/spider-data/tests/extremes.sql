-- What databases hold at the edges of their types, and tables of every kind. Rows are numbered 1 to 14 by the test.
CREATE TABLE edge (id INTEGER PRIMARY KEY, day TEXT, big INTEGER, ratio REAL, text TEXT, digits TEXT UNIQUE, raw BLOB UNIQUE);
CREATE TABLE doc (id INTEGER PRIMARY KEY REFERENCES edge(id), body TEXT NOT NULL, more JSON, n INT GENERATED ALWAYS AS (json_extract(body, '$.n')) STORED);
CREATE INDEX by_kind ON doc(json_extract(more, '$.kind'));
CREATE TABLE span (name TEXT, low INT, high INT CHECK (high BETWEEN 5 AND 99999), CHECK (low < high), PRIMARY KEY (name, low)) WITHOUT ROWID;
CREATE TABLE tight (i INT, t TEXT, r REAL, b BLOB, x ANY) STRICT;
CREATE TABLE hollow (i INT PRIMARY KEY, t TEXT UNIQUE, r REAL UNIQUE, b BLOB UNIQUE) STRICT;
CREATE VIEW late AS SELECT id, day FROM edge WHERE day > '2000-01-01';
CREATE VIRTUAL TABLE page USING fts5(title, body);
CREATE VIRTUAL TABLE memo USING fts4(text);
CREATE VIRTUAL TABLE slip USING fts3(text);
CREATE VIRTUAL TABLE box USING rtree(id, x0, x1, y0, y1);
CREATE VIRTUAL TABLE found USING fts5(text, content = 'edge', content_rowid = 'id');
CREATE VIRTUAL TABLE bare USING fts5(text, content = '');
CREATE VIRTUAL TABLE terms USING fts5vocab(page, 'row');
CREATE TRIGGER kept AFTER INSERT ON edge BEGIN INSERT INTO memo(text) VALUES (new.text); END;
