-- Where the bytes of composed blobs lie: runs of whole blobs. The store has the same as a list beside where the
-- whole file would lie; these rows keep the collector away from the sources.
create table blob_segments (
    digest text not null,
    position bigint not null,
    offset_bytes bigint not null,
    size_bytes bigint not null,
    source text not null,
    source_offset bigint not null,
    primary key (digest, position)
);
create index blob_segments_source on blob_segments (source);

-- Tensors (and runs of small ones) that lie in whole blobs, by the sha256 of their bytes: what others may share.
create table tensor_bytes (
    digest text not null,
    offset_bytes bigint not null,
    size_bytes bigint not null,
    sha256 text not null,
    primary key (digest, offset_bytes)
);
create index tensor_bytes_sha256 on tensor_bytes (sha256);

-- A header is part of its file and is read there: these rows outweighed what a fine-tune adds to its base.
drop table tensors;
