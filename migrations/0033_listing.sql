-- What lists and searches read instead of the catalog's own tables. All of it is derived: it follows from repos, facts and lineage, is written in
-- the transaction that changes those, and can be made again from them (catalog/search/rebuild.rs).

-- The values of facets, with how many repos have each. The value '' of the facet '' stands for all repos of a kind.
create table terms (
    id integer primary key,
    kind text not null,
    facet text not null,                -- catalog/search/terms.rs names them
    value text not null,
    public bigint not null default 0,   -- public repos
    public_here bigint not null default 0,  -- of those, without what the library only lists
    private bigint not null default 0,
    private_here bigint not null default 0,
    public_bytes bigint not null default 0, -- of the heads of those that are public and here; kept for the facet '' alone
    unique (kind, facet, value)
);
create index terms_public on terms (kind, facet, public);

-- One row a repo that is not deleted.
create table listing (
    id integer primary key,
    repo text not null unique,
    document bigint not null unique,    -- its row in the index of words
    kind text not null,
    private bigint not null,
    here bigint not null,               -- 0: the library lists it, and nothing is published
    folded text not null,               -- folded 'namespace/name'
    name text not null,                 -- the folded name alone
    task bigint not null,               -- ids of terms; 0 for none
    modality bigint not null,
    architecture bigint not null,
    license bigint not null,
    library bigint not null,
    author bigint not null,
    namespace bigint not null,
    sources text not null,              -- ids of the data sets it comes from through any number of bases: '4 17'
    parameters bigint,                  -- null where nothing is known of the repo
    top1 double precision not null,     -- -1 where no card says it
    downloads bigint not null,
    newest bigint not null,             -- 0 for what is only listed, which is no news
    born bigint not null,
    size bigint not null,               -- parameters of a model, bytes of a data set
    bytes bigint not null
);
-- Each order is walked in its index, which also holds what filters and facets ask.
create index listing_downloads on listing
    (kind, private, downloads, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources);
create index listing_newest on listing
    (kind, private, newest, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources);
create index listing_born on listing
    (kind, private, born, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources);
create index listing_size on listing
    (kind, private, size, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources);
create index listing_top1 on listing
    (kind, private, top1, id, here, task, modality, architecture, license, library, author, namespace, parameters, sources);
create index listing_folded on listing
    (kind, private, folded, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources);
create index listing_name on listing (kind, private, name);
create index listing_task on listing (task);
create index listing_modality on listing (modality);
create index listing_architecture on listing (architecture);
create index listing_license on listing (license);
create index listing_library on listing (library);
create index listing_namespace on listing (namespace, private);

-- Facets of which a repo has several values: tags, bases, and the data sets it comes from.
create table listing_terms (
    term bigint not null,
    listing bigint not null,
    primary key (term, listing)
);
create index listing_terms_listing on listing_terms (listing, term);

-- Numbers that cards say, by the names they give them; one of each name.
create table repo_measures (
    name text not null,
    listing bigint not null,
    kind text not null,
    private bigint not null,
    value double precision not null,
    primary key (listing, name)
);
create index repo_measures_value on repo_measures (name, kind, private, value, listing);

-- Words of names, summaries, tags and cards, with how many repos have each: what a search will cost, and what a mistyped word may mean.
create table vocabulary (
    word text primary key,
    beginning text not null,            -- its first two characters
    repos bigint not null,
    public bigint not null              -- of those that are public: no other word is ever shown
);
create index vocabulary_beginning on vocabulary (beginning, public);

-- Bases whose data sets have changed and whose fine-tunes are too many for one transaction: how far they have been told.
create table lineage_pending (
    folded text primary key,
    after bigint not null               -- the last row of the listing that was
);

-- How far the tables above were filled from a catalog that was there before them. One row.
create table listing_state (
    id bigint primary key,
    filled_to text not null,            -- the last repo's key
    done bigint not null
);
insert into listing_state (id, filled_to, done) values (1, '', 0);
