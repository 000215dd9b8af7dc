-- What this hub measured itself.
create table measurements (
    job text primary key,
    model text not null references repos (key),
    model_number bigint not null,
    dataset text not null references repos (key),
    dataset_number bigint not null,
    measured bigint not null,
    statement text not null             -- signed: header.payload.signature
);
create index measurements_model on measurements (model, measured);
create index measurements_dataset on measurements (dataset, measured);
