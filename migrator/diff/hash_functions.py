"""The server's own functions that hash rows and values; by type, and how to see that two servers agree."""

from __future__ import annotations

# The hash of one column is the seed of the next one's: it costs nothing to put them together, and tells which
# column a value is in. ``{seed}``, which holds the columns before, may stand in each but once. Last must be a
# function that mixes: not one that may return its seed, or adds to a hash.
CALL = "pg_catalog.{name}({{value}}, {{seed}})"
TEXT_HASH = 'pg_catalog.hashtextextended({value}::text collate "C", {seed})'
# The halves of eight bytes are added up before they are hashed. Two values of which that is the same are
# told apart by the seed; moments, whose number cannot be had as it is, by their distance, which is rounded.
MOMENT_HASH = """
pg_catalog.timestamp_hash_extended({utc}, pg_catalog.hashfloat8extended({distance}, {{seed}}))
"""
FUNCTIONS = {
    oid: CALL.format(name=name)
    for oid, name in {
        21: "hashint2extended", 23: "hashint4extended", 25: "hashtextextended",
        650: "hashinetextended", 774: "hashmacaddr8extended", 829: "hashmacaddrextended",
        869: "hashinetextended", 1042: "hashbpcharextended", 1043: "hashtextextended",
        2950: "uuid_hash_extended",
    }.items()
} | {
    16: "pg_catalog.hashint4extended({value}::int4, {seed})",
    20: "pg_catalog.hashint8extended({value}, ({seed}) # {value})",
    # The sign is left out, the weight is added to the hash, zero and what is no number hash to the seed.
    1700: """
pg_catalog.hashint4extended(pg_catalog.numeric_cmp({value}, 0),
                            pg_catalog.hash_numeric_extended({value}, {seed}))
""",
    1083: TEXT_HASH,
    1114: MOMENT_HASH.format(
        utc="{value}",
        distance="pg_catalog.tsrange_subdiff({value}, timestamp '2000-01-01')",
    ),
    # Without the session's calendar, which takes longer than the rest.
    1184: MOMENT_HASH.format(
        utc="pg_catalog.timezone('0'::interval, {value})",
        distance="pg_catalog.tstzrange_subdiff({value}, timestamptz '2000-01-01 00:00:00+00')",
    ),
    # Infinite dates have a distance, but no number of days; none of them is 0, which hashes to the seed.
    1082: """
pg_catalog.hashfloat8extended(pg_catalog.daterange_subdiff({value}, date '4714-11-24 BC') + 1, {seed})
""",
}  # fmt: skip
# Zero hashes to the seed, and one that prints as -0 is called equal to one that does not.
FLOAT_HASH = """
pg_catalog.hashint4extended(case when {value} <> 0 then 0 when {value}::text = '-0' then 1 else 2 end,
                            pg_catalog.hashfloat8extended({value}::float8, {seed}))
"""
# Hashes that were added up bit by bit: what two rows have swapped would leave the sum of both as it was.
MIXED = "pg_catalog.hashint4extended(0, {seed})"
# Of types whose function cannot be called by name, all together.
RECORD = "pg_catalog.hash_record_extended({row}, {seed})"
EXTENDED = 'pg_catalog.hashtextextended({line} collate "C", 0)'
DIGEST = "('x' || pg_catalog.substr(pg_catalog.md5({line}), 1, 16))::bit(64)::bigint"
# What both must hash to the same: hash functions are the server's own.
TRIALS = {
    RECORD: """
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
    pg_catalog.uuid_hash_extended('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 10),
    pg_catalog.hashinetextended('10.0.0.1/8', 11), pg_catalog.hashmacaddrextended('08:00:2b:01:02:03', 12),
    pg_catalog.hashmacaddr8extended('08:00:2b:01:02:03:04:05', 13)
]::text
""",
    EXTENDED: EXTENDED.format(line="'a row, ''quoted'' (1,2)'::text"),
    DIGEST: DIGEST.format(line="'a row, ''quoted'' (1,2)'::text"),
}
