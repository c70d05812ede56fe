"""The relational split in DuckDB, with the same SQL, for a comparison of speed.

usage: split_duckdb.py CORPUS --out FOLDER --memory 2GB --threads 2
prints one line of JSON: rows, documents to train on, wall_s.
pip install duckdb==2.0.1
"""
import argparse, json, os, shutil, time
import duckdb

p = argparse.ArgumentParser()
p.add_argument("corpus")
p.add_argument("--out", required=True)
p.add_argument("--min-examples", type=int, default=20)
p.add_argument("--memory", default="2GB")
p.add_argument("--threads", type=int, default=2)
a = p.parse_args()

# The salts of seed 1: its streams `membership` and `roles`.
MEMBERSHIP, ROLES = "168586dc7f3dae12", "54ffbdc829f27d85"

start = time.perf_counter()
work = os.path.join(a.out, "work")
shutil.rmtree(work, ignore_errors=True)  # of a run that failed
os.makedirs(work)
db = duckdb.connect(os.path.join(work, "split.duckdb"))
db.execute(f"SET memory_limit='{a.memory}'; SET threads={a.threads}; SET temp_directory='{work}'")
db.execute("SET preserve_insertion_order=false")


def share(fraction):
    return f"least(n, greatest(1, CAST(round(CAST({fraction} AS DOUBLE) * n) AS BIGINT)))"


attack, validation, test = share(0.1), share(0.05), share(0.05)
db.execute(f"CREATE VIEW documents AS SELECT user_id, example_id, text FROM read_parquet('{a.corpus}')")
blank = db.execute("SELECT count(*) FROM documents WHERE user_id IS NULL OR trim(user_id) = '' OR text IS NULL OR trim(text) = ''").fetchone()[0]
assert blank == 0
db.execute("""CREATE TABLE keys AS SELECT user_id, example_id, digest FROM
    (SELECT *, row_number() OVER (PARTITION BY user_id, digest ORDER BY example_id) AS place FROM
    (SELECT user_id, example_id, unhex(sha256(text)) AS digest FROM documents)) WHERE place = 1""")
db.execute("CREATE TABLE sizes AS SELECT user_id, count(*) AS n FROM keys GROUP BY user_id")
n_users = db.execute(f"SELECT count(*) FROM sizes WHERE n >= {a.min_examples}").fetchone()[0]
n_held_in = int(n_users * 0.5 + 0.5)
db.execute(f"""CREATE TABLE members AS SELECT user_id, n, {attack} AS attack_end, {attack} + {validation} AS validation_end,
    {attack} + {validation} + {test} AS test_end, CASE WHEN place <= {n_held_in} THEN 'held_in' ELSE 'held_out' END AS membership
    FROM (SELECT user_id, n, row_number() OVER (ORDER BY sha256('{MEMBERSHIP}:' || user_id), user_id) AS place
    FROM sizes WHERE n >= {a.min_examples})""")
db.execute(f"""CREATE TABLE ranked AS SELECT keys.user_id, example_id, digest, membership, attack_end, validation_end, test_end,
    row_number() OVER (PARTITION BY keys.user_id
        ORDER BY sha256('{ROLES}:' || keys.user_id || ':' || example_id), example_id) AS rank
    FROM keys JOIN members ON keys.user_id = members.user_id""")
# No user has a text twice by now, so that no example is a copy of a reserved one.
db.execute("""CREATE TABLE labels AS SELECT user_id, example_id, membership, rank, CASE
    WHEN is_reserved AND rank <= attack_end THEN 'attack' WHEN is_reserved AND rank <= validation_end THEN 'validation'
    WHEN is_reserved THEN 'test' WHEN membership = 'held_out' THEN NULL ELSE 'train' END AS role FROM
    (SELECT *, rank <= test_end AS is_reserved FROM ranked)""")
db.execute(f"""COPY (SELECT documents.user_id, documents.example_id, text, membership, role, rank FROM documents
    JOIN labels ON documents.user_id = labels.user_id AND documents.example_id = labels.example_id
    ORDER BY documents.user_id, documents.example_id) TO '{a.out}/documents.parquet' (FORMAT parquet, COMPRESSION snappy)""")
rows = db.execute("SELECT count(*) FROM documents").fetchone()[0]
train = db.execute("SELECT count(*) FROM labels WHERE role = 'train'").fetchone()[0]
db.close()
shutil.rmtree(work)
print(json.dumps({"n_rows": rows, "n_train": train, "wall_s": time.perf_counter() - start}))
