-- Creates two roles with a database each when PostgreSQL's volume is new. Neither role can access the other's database,
-- and neither is a superuser. \getenv needs psql 15 or later.
\getenv ledger_password LEDGER_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
CREATE ROLE registrar LOGIN PASSWORD :'ledger_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE registrar OWNER registrar;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE registrar, mlflow FROM PUBLIC;
