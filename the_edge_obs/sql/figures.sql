-- Statistics of nodes over lines, equal to those of store.run_stats.
--
-- The package's own reader follows the order of reading. A flow is even if that order makes no difference to it: a span has at most
-- one entry, which comes first, and at most one end of the same node, which comes last; no event is there twice; and a span that
-- reports tokens or costs ends before its parent. All other flows are uneven, and are left to the package's own reader.
--
-- source (json, filename) has the lines in the order of reading. Ids are compared by hashes of 64 bits.

-- Whether a text that DuckDB reads is JSON: it also reads NaN, infinities, numbers beyond the range of a float, and commas before
-- a bracket. A step that is null is told apart from none here, because it costs nothing more.
CREATE MACRO is_strict(line) AS strlen(line) <= 1048576
    AND NOT regexp_matches(line, ',\s*([}\]]|"step":\s*null|[-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})')
    AND NOT regexp_matches(line, ':\s*([-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})')
    AND NOT regexp_matches(line, '\[\s*([-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})');

CREATE MACRO is_text(value) AS starts_with(value::VARCHAR, '"');

-- Whether a line is surely an event, seen from its text up to its second brace: no key before it is inside another object.
CREATE MACRO is_usual(line, head, t) AS coalesce(
    ends_with(head, ',"data":')
    AND is_text(t.flow_id) AND is_text(t.span_id) AND is_text(t.node) AND is_text(t.event_type)
    AND CASE WHEN t.parent_id IS NULL THEN contains(head, '"parent_id":null,') ELSE is_text(t.parent_id) END
    AND CASE WHEN t.message IS NULL THEN contains(head, '"message":null,') ELSE is_text(t.message) END
    AND t.level IN ('"debug"', '"info"', '"warn"', '"error"')
    AND TRY_CAST(t.timestamp::VARCHAR AS DOUBLE) BETWEEN 0 AND 9e18
    AND starts_with(t.metrics, '{')
    AND (t.metrics = '{}' OR NOT regexp_matches(t.metrics, ':["tf\[{]|[0-9]{19}'))
    AND (t.step IS NULL OR is_text(t.step)) AND NOT contains(head, '"step"')  -- see is_strict
    AND t.data.error IS NULL
    AND is_strict(line)
    -- deeper than jsonl.MAX_DEPTH, or a number with more digits than Python reads
    AND CASE WHEN strlen(line) < 700 THEN true WHEN regexp_matches(line, '[0-9]{500}') THEN false
        ELSE strlen(line) - strlen(replace(replace(line, '[', ''), '{', '')) <= 200 END,
    false
);

CREATE TEMP TABLE event AS
WITH read AS (
    SELECT filename, json AS line, split_part(json::VARCHAR, '{', 2) AS head, json_transform(json, '{
        "flow_id": "JSON", "span_id": "JSON", "parent_id": "JSON", "node": "JSON", "level": "JSON", "timestamp": "JSON",
        "event_type": "JSON", "message": "JSON", "metrics": "JSON", "step": "JSON",
        "data": {"error": "JSON", "cancelled": "JSON", "answered": "JSON"}
    }') AS t
    FROM source
)
SELECT
    t.flow_id::VARCHAR AS flow_id, hash(t.flow_id) AS flow, hash(t.flow_id, t.span_id) AS span,
    CASE WHEN t.parent_id IS NOT NULL THEN hash(t.flow_id, t.parent_id) END AS parent,
    t.node::VARCHAR AS node, hash(t.node) AS node_hash,
    -- 0 is a log, 1 an entry, 2 a metric, and the ends are 3, 4 and 5
    CASE t.event_type WHEN '"log"' THEN 0 WHEN '"entry"' THEN 1 WHEN '"exit"' THEN 3 WHEN '"error"' THEN
        CASE WHEN coalesce(t.data.cancelled NOT IN ('false', 'null', '0', '-0', '0.0', '-0.0', '""', '[]', '{}'), false) THEN 5
            ELSE 4 END ELSE 2 END::TINYINT AS code,
    TRY_CAST(t.timestamp::VARCHAR AS DOUBLE) AS moment,
    CASE WHEN t.metrics <> '{}' THEN json_transform(t.metrics,
        '{"duration_ms": "VARCHAR", "tokens": "VARCHAR", "cost_usd": "VARCHAR"}') END AS metrics,
    coalesce(t.data.answered = 'true', false) AS answered,
    hash(filename) AS file,
    line IS NOT NULL AS is_json,
    -- a line whose text has to be looked at again
    CASE WHEN NOT is_usual(line::VARCHAR, head, t) THEN line END AS odd
FROM read;
