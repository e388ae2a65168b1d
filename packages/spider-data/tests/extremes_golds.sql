SELECT id FROM edge WHERE day > '9999-12-31'
SELECT max(day) FROM edge WHERE day < '0001-01-01'
SELECT day FROM edge WHERE day = '0001-01-01' OR day = '9999-12-30'
SELECT count(*) FROM edge WHERE big > 99999999999999999999
SELECT big FROM edge WHERE big = 9223372036854775807
SELECT big FROM edge WHERE big >= -9223372036854775808 ORDER BY big, id
SELECT abs(big) FROM edge WHERE big > -9223372036854775807
SELECT sum(big) FROM edge WHERE id IN (2, 4)
SELECT ratio FROM edge WHERE ratio < 9e999 AND ratio > -1.7e308
SELECT text FROM edge WHERE id > 3
SELECT id FROM edge WHERE digits > '12345678901234567890'
SELECT hex(raw) FROM edge
SELECT json_extract(body, '$.name') FROM doc WHERE json_extract(body, '$.n') > 3
SELECT body ->> '$.n', more -> '$.kind' FROM doc
SELECT value FROM doc, json_each(doc.body, '$.tags')
SELECT count(*) FROM doc WHERE n > 4
SELECT name FROM span WHERE high > 50 AND low < 5000
SELECT t FROM tight WHERE r > 2.5 AND i < 9
SELECT count(*) FROM hollow
SELECT * FROM late
SELECT title FROM page WHERE page MATCH 'hello'
SELECT page.title, edge.day FROM page JOIN edge ON edge.id = page.rowid
SELECT text FROM memo WHERE memo MATCH 'hello'
SELECT text FROM slip WHERE text MATCH 'w3'
SELECT id FROM box WHERE x0 >= 3 AND x1 < 9
SELECT count(*) FROM found WHERE found MATCH 'hello'
SELECT rowid FROM bare WHERE bare MATCH 'hello'
SELECT term FROM terms
