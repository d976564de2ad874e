-- How large each document is, so that the oldest make room without a look at any of them. Whoever does not tell it yet,
-- a program of before beside this one, is taken to have kept the largest there may be.

alter table weight_snapshots add column document_bytes integer not null default 16777216;

update weight_snapshots set document_bytes = length(cast(document as blob));

-- In a row the number stands behind the document, which would be read on the way to it.
create index weight_snapshots_sizes on weight_snapshots (netuid, id, document_bytes);
