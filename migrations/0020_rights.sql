-- How often somebody has lost a right: a token, a session, a role, the sight of a repo. Whoever is in the midst of something sees by it when to
-- ask again. One row.
create table rights (
    id bigint primary key,
    losses bigint not null
);
insert into rights (id, losses) values (1, 0);
