-- What only a version's own page shows; kept apart so that lists need not read it.
create table version_details (
    repo text not null references repos (key),
    number bigint not null,
    card_html text not null default '',
    card_text text not null default '', -- the card's body, for the search index
    labels text not null default '[]',  -- JSON list
    dataset_report text not null default '', -- JSON, or empty
    previews text not null default '',  -- JSON, or empty: small pictures of a data set
    primary key (repo, number)
);
