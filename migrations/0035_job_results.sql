-- A model's page leads to the job that made it.
create index jobs_result on jobs (name_folded, result_version);
