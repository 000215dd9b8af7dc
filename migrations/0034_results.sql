-- Numbers of models that no card says: tables that an administrator took over, and what this hub measured besides evaluations.
create table results (
    repo text not null references repos (key) on delete cascade,
    origin text not null,           -- imported, measured
    measure text not null,          -- top1, gmacs, items_per_second ...
    dataset text not null,          -- as pages write it: 'imagenet-1k', 'acme/cats'; '' for none
    value double precision not null,
    source text not null,           -- the table's name, or the job
    noted bigint not null,
    primary key (repo, origin, measure, dataset)
);

-- What lists are sorted by has grown: the index is read again, and lists and searches are filled anew at the next start.
update library_index set version = '';
delete from terms;
delete from listing;
delete from listing_terms;
delete from repo_measures;
delete from vocabulary;
delete from lineage_pending;
update listing_state set filled_to = '', done = 0 where id = 1;
