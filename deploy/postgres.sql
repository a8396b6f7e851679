-- Two roles with a database each, made when PostgreSQL's volume is new. Neither may do anything to the other's, and
-- neither is a superuser. \getenv takes psql 15 or newer.
\getenv ledger_password LEDGER_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
CREATE ROLE registrar LOGIN PASSWORD :'ledger_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE registrar OWNER registrar;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE registrar, mlflow FROM PUBLIC;
