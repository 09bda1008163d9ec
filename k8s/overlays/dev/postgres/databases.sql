-- Run once by the image, for an empty volume. The database cfcre itself is made by the image.
CREATE DATABASE mlflow OWNER cfcre;
CREATE DATABASE mlflow_auth OWNER cfcre;
