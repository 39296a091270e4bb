"""Every kind of object that a database's schema is made of, containers before what is in them."""

from __future__ import annotations

from migrator.diff.objects import foreign, operators, parts, relations, routines, texts, whole

KINDS = (
    whole.databases,
    whole.settings,
    whole.extensions,
    relations.schemas,
    whole.default_privileges,
    routines.types,
    routines.domain_constraints,
    relations.relations,
    relations.columns,
    relations.sequences,
    parts.constraints,
    parts.not_null_constraints,
    parts.indexes,
    parts.triggers,
    parts.rules,
    parts.policies,
    parts.statistics_objects,
    routines.routines,
    operators.operators,
    operators.operator_families,
    operators.operator_classes,
    operators.casts,
    operators.transforms,
    operators.languages,
    operators.access_methods,
    operators.conversions,
    texts.collations,
    texts.configurations,
    texts.dictionaries,
    texts.parsers,
    texts.templates,
    foreign.wrappers,
    foreign.servers,
    foreign.user_mappings,
    whole.event_triggers,
    whole.built_in_privileges,
)
