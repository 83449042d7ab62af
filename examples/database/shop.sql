-- What is in shop.db. To make it again: sqlite3 examples/database/shop.db < examples/database/shop.sql
-- The same statements make the table in MySQL, MariaDB and PostgreSQL.

DROP TABLE IF EXISTS tickets;

CREATE TABLE tickets (
  id VARCHAR(36) PRIMARY KEY,
  product VARCHAR(40),
  message VARCHAR(500),
  ai_category VARCHAR(20),
  ai_urgency INTEGER,
  ai_status VARCHAR(250)
);

-- Two are answered already, and one has nothing to be asked about.
INSERT INTO tickets (id, product, message, ai_category, ai_urgency, ai_status) VALUES
('752a8f83-1c0a-504b-ad09-ea2051fec1dc', '水壶', '壶盖第三天就漏水了，客服一直没有回复。', NULL, NULL, NULL),
('72742d90-1014-5ab7-8a95-e06dfbe74de4', 'kettle', 'Boils fast, and the handle stays cool.', NULL, NULL, NULL),
('1346ec28-7a37-54ca-b3df-06c2a0a6033e', '台灯', '灯光柔和，就是开关有点紧。', NULL, NULL, NULL),
('476b7727-2559-5db2-948f-620c5d117ecf', 'lamp', 'It arrived with a cracked base. I wrote twice, no answer.', NULL, NULL, NULL),
('0a4f38ae-7fe2-5bf4-a265-21d8881d3868', '水壶', '烧水很快，不过声音大，
晚上会吵到人。', 'praise', 1, NULL),
('eb802748-b26c-5192-89a9-00e8987c1f46', 'kettle', 'The "auto off" never works.', NULL, NULL, NULL),
('20bcc6c0-83c7-52ef-ba9a-cb0200d8f363', '背包', '拉链一周就坏了，想退货。', NULL, NULL, NULL),
('b0415b9d-0de9-573a-a7f1-4bb466d82729', 'backpack', 'Roomy; the straps could be softer.', 'product', 4, NULL),
('ed76d0b0-78ed-5291-bcc6-44ab7aaad309', '背包', '容量大，背着舒服，推荐。', NULL, NULL, NULL),
('b480f842-5323-59ce-88be-68692a2cb8fa', 'lamp', NULL, NULL, NULL, NULL),
('0d907a6d-3882-545d-b250-0978211bcdaf', '台灯', '用了两天就闪，换了灯泡也一样。', NULL, NULL, NULL),
('c8c54569-9086-569d-8a3c-d2c7f32854b7', 'backpack', 'Fine for the price, 19.90 well spent.', NULL, NULL, NULL);
