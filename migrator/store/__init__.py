"""The only door to the state database: SQLAlchemy and Alembic are used nowhere else."""
