-- Whose turn it is to write: the token of the newest turn, in one row. Each write of a pass holds it against
-- its own, in its own transaction.

create table fence (
    is_only boolean not null primary key default true check (is_only),
    token bigint not null check (token >= 0)
);

insert into fence (token) values (0);
