-- Which job has left the features of a data set's items by a model.
create table embeddings (
    model text not null references repos (key),
    model_number bigint not null,
    dataset text not null references repos (key),
    dataset_number bigint not null,
    job text not null,
    primary key (model, model_number, dataset, dataset_number)
);
