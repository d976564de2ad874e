-- How large each document is, so that the oldest make room without a look at any of them. Whoever does not tell it yet,
-- a program of before beside this one, is taken to have kept the largest there may be.

alter table weight_snapshots add column document_bytes bigint not null default 16777216;

update weight_snapshots set document_bytes = octet_length(document::text);
