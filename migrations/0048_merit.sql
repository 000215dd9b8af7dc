-- What a list begins with where nobody gave words, and two orders by words: licence and first data set. All of it is derived (catalog/search/).
alter table listing add column merit double precision not null default 0;
alter table listing add column license_word text not null default '~';     -- folded; '~' for none, which comes last
alter table listing add column source_word text not null default '~';
create index listing_merit on listing
    (kind, private, merit, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources);
create index listing_license_word on listing
    (kind, private, license_word, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources);
create index listing_source_word on listing
    (kind, private, source_word, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources);

-- Lists and searches are filled anew at the next start.
delete from terms;
delete from listing;
delete from listing_terms;
delete from repo_measures;
delete from vocabulary;
delete from lineage_pending;
update listing_state set filled_to = '', done = 0 where id = 1;
