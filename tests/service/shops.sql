CREATE DATABASE shop_a CHARACTER SET utf8mb4;
CREATE TABLE shop_a.packages (
  id INT PRIMARY KEY, name VARCHAR(100), section VARCHAR(50), description TEXT, icon BLOB, price DECIMAL(6,2), added DATE,
  FULLTEXT both_columns (name, description)
) ENGINE=InnoDB;
INSERT INTO shop_a.packages VALUES
  (1, 'nginx', 'httpd', 'small powerful scalable web server and proxy', 0xFF, 1.50, '2024-01-02'),
  (2, 'apache2', 'httpd', 'the worldwide web server with many modules', NULL, 2.00, NULL),
  (3, 'mariadb-server', 'database', 'relational database server', NULL, NULL, NULL),
  (4, 'redis', 'database', 'persistent keyvalue database with network interface', NULL, NULL, NULL),
  (5, 'webalizer', 'web', 'analysis of log files', NULL, NULL, NULL),
  (6, 'proxychains', 'net', 'redirects connections; no daemon nginx here', NULL, NULL, NULL);
CREATE TABLE shop_a.notes (id INT PRIMARY KEY, body TEXT, `odd ``name %s` VARCHAR(50)) ENGINE=InnoDB;
INSERT INTO shop_a.notes VALUES (1, 'remember the webserver reboot', 'one'), (2, '100% of proxy_pass rules', 'two'), (3, NULL, 'proxy');
CREATE TABLE shop_a.events (word VARCHAR(40), at_day DATE, FULLTEXT words (word)) ENGINE=InnoDB;
INSERT INTO shop_a.events VALUES ('marathon', '2024-01-01'), ('marathon', '2024-01-02'), ('sprint', NULL);
CREATE TABLE shop_a.numbers (id INT PRIMARY KEY, amount INT) ENGINE=InnoDB;
CREATE DATABASE shop_b CHARACTER SET utf8mb4;
USE shop_b;
CREATE TABLE shop_b.articles (
  shelf INT, place INT, title VARCHAR(100), body TEXT, PRIMARY KEY (shelf, place), FULLTEXT (title), FULLTEXT (body)
) ENGINE=InnoDB;
INSERT INTO shop_b.articles WITH RECURSIVE s (seq) AS (SELECT 0 UNION ALL SELECT seq + 1 FROM s WHERE seq < 56)
  SELECT seq DIV 10, seq MOD 10, CONCAT('gadget number', seq), CONCAT('plain text ', seq) FROM s;
INSERT INTO shop_b.articles VALUES (90, 1, 'nginx cookbook', 'recipes for the web server');
