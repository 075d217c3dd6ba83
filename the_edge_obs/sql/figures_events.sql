-- The rows of the table event: what statistics need of each line of source. Their rowid is the order of reading.
WITH read AS (
    SELECT filename, json AS line,
        split_part(json::VARCHAR, '{', 2) AS head, split_part(json::VARCHAR, ',"metrics":{', -1) AS tail,
        json_transform(json, '{
            "flow_id": "JSON", "span_id": "JSON", "parent_id": "JSON", "node": "JSON", "level": "JSON", "timestamp": "JSON",
            "event_type": "JSON", "message": "JSON", "step": "JSON",
            "data": {"error": "JSON", "cancelled": "JSON", "answered": "JSON"},
            "metrics": {"duration_ms": "VARCHAR", "tokens": "VARCHAR", "cost_usd": "VARCHAR"}
        }') AS t
    FROM source
)
SELECT
    t.flow_id::VARCHAR AS flow_id, hash(t.flow_id) AS flow, hash(t.flow_id, t.span_id) AS span,
    CASE WHEN t.parent_id IS NOT NULL THEN hash(t.flow_id, t.parent_id) END AS parent,
    t.node::VARCHAR AS node, hash(t.node) AS node_hash,
    -- 0 is a log, 1 an entry, 2 a metric; 3, 4 and 5 are the ends: an exit, an error, a cancellation; 7 is any other type
    CASE t.event_type WHEN '"log"' THEN 0 WHEN '"entry"' THEN 1 WHEN '"exit"' THEN 3 WHEN '"error"' THEN
        CASE WHEN coalesce(t.data.cancelled NOT IN ('false', 'null', '0', '-0', '0.0', '-0.0', '""', '[]', '{}'), false) THEN 5
            ELSE 4 END WHEN '"metric"' THEN 2 ELSE 7 END::TINYINT AS code,
    TRY_CAST(t.timestamp::VARCHAR AS DOUBLE) AS moment,
    t.metrics,
    coalesce(t.data.answered = 'true' AND t.event_type <> '"metric"', false) AS answered,
    hash(filename) AS file,
    line IS NOT NULL AS is_json,
    -- a line whose text has to be looked at again
    CASE WHEN NOT is_usual(line::VARCHAR, head, tail, t) THEN line END AS odd
FROM read
