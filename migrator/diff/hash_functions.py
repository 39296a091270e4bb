"""The server's own functions that hash rows and values; by type, and how to see that two servers agree."""

from __future__ import annotations

# What is mixed is hashed again, or values that two rows have swapped would leave the sum of both as it was.
# Not by hashint8extended, which makes 32 bits of 64 first; a float keeps 53.
COLUMNS = "pg_catalog.hashfloat8extended(({columns})::float8, 0)"
# Of types whose function cannot be called by name, all together.
RECORD = "pg_catalog.hash_record_extended({row}, {seed})"
EXTENDED = 'pg_catalog.hashtextextended({line} collate "C", 0)'
DIGEST = "('x' || pg_catalog.substr(pg_catalog.md5({line}), 1, 16))::bit(64)::bigint"
# What hashes a value of a type, by functions that can be called by their names; ``{value}``, ``{seed}``
# and ``{other}``, a number that goes with the seed.
CALL = "pg_catalog.{name}({{value}}, {{seed}})"
TEXT_HASH = 'pg_catalog.hashtextextended({value}::text collate "C", {seed})'
FUNCTIONS = {
    oid: CALL.format(name=name)
    for oid, name in {
        21: "hashint2extended", 23: "hashint4extended", 25: "hashtextextended",
        650: "hashinetextended", 774: "hashmacaddr8extended", 829: "hashmacaddrextended",
        869: "hashinetextended", 1042: "hashbpcharextended", 1043: "hashtextextended",
        1083: "time_hash_extended", 1114: "timestamp_hash_extended", 2950: "uuid_hash_extended",
    }.items()
} | {
    16: "pg_catalog.hashint4extended({value}::int4, {seed})",
    # Both halves are added up before they are hashed, so that two that are swapped are the same.
    20: """
pg_catalog.hashint8extended({value}, {seed}) # pg_catalog.hashint4extended(({value} >> 32)::int4, -{seed})
""",
    # Of these the sign is left out.
    1700: """
pg_catalog.hash_numeric_extended({value}, {seed}) # case when {value} < 0 then {other} else 0 end
""",
    # Sessions are in UTC, where no two moments are at one time of the day.
    1184: "pg_catalog.timestamp_hash_extended({value}::timestamp, {seed})",
    # The days of an infinite date cannot be counted.
    1082: f"""
case when pg_catalog.isfinite({{value}})
     then pg_catalog.hashint4extended({{value}} - date '2000-01-01', {{seed}})
     else {TEXT_HASH}
end
""",
}  # fmt: skip
# Zeros that print as -0 are called equal to those that do not.
FLOAT_HASH = f"""
case when {{value}} = 0 then {TEXT_HASH}
     else pg_catalog.hashfloat8extended({{value}}::float8, {{seed}})
end
"""
# What both must hash to the same: hash functions are the server's own.
TRIALS = {
    COLUMNS: """
array[
    pg_catalog.hash_record_extended(row(
        1::int2, -1::int4, 12345678901::int8, true, date '2000-02-29', timestamp '2000-01-01 01:02:03.456789',
        timestamptz '2000-01-01 01:02:03.456789+01', time '01:02:03.4',
        uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a text'::text collate "C", 'abc'::bpchar(5) collate "C",
        '\\x00ff'::bytea, inet '10.0.0.1/8', cidr '10.0.0.0/8', macaddr '08:00:2b:01:02:03',
        macaddr8 '08:00:2b:01:02:03:04:05', pg_lsn '16/B374D848', 1.50::numeric(10, 2), 'NaN'::numeric(10, 2),
        null::int4, null::text), 7),
    pg_catalog.hashint2extended(-2::int2, 1), pg_catalog.hashint4extended(-2, 2),
    pg_catalog.hashint8extended(12345678901, 3), pg_catalog.hashtextextended('a text' collate "C", 4),
    pg_catalog.hashbpcharextended('abc'::bpchar(5) collate "C", 5),
    pg_catalog.hash_numeric_extended(1.50, 6), pg_catalog.hash_numeric_extended('NaN', 6),
    pg_catalog.hashfloat8extended(0.1, 7), pg_catalog.hashfloat8extended('NaN', 7),
    pg_catalog.timestamp_hash_extended('2000-01-01 01:02:03.456789', 8),
    pg_catalog.time_hash_extended('01:02:03.4', 9),
    pg_catalog.uuid_hash_extended('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 10),
    pg_catalog.hashinetextended('10.0.0.1/8', 11), pg_catalog.hashmacaddrextended('08:00:2b:01:02:03', 12),
    pg_catalog.hashmacaddr8extended('08:00:2b:01:02:03:04:05', 13)
]::text
""",
    EXTENDED: EXTENDED.format(line="'a row, ''quoted'' (1,2)'::text"),
    DIGEST: DIGEST.format(line="'a row, ''quoted'' (1,2)'::text"),
}
