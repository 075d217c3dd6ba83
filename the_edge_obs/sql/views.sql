-- The views events, spans and runs, over the view stored: the rows of all Parquet files, each with its number in its file (seq).
--
-- They follow the package's own rules (store.span_stream and store.summaries), in the order of time instead of that of reading:
-- a figure counts in the innermost span that reports it, an error where it arose, an event that is there twice counts once.

CREATE VIEW events AS
SELECT DISTINCT ON (flow_id, span_id, event_type, node, "timestamp", content)
    flow_id, span_id, parent_id, node, step, level, event_type, ts, message, duration_ms, tokens, input_tokens, output_tokens,
    cost_usd, error_type, error_message, host, data, metrics, "timestamp"
FROM stored;

-- The events of spans, with the entry of each span. ord is the order of events: by time, those of one moment as they were read.
CREATE VIEW span_events AS
WITH ordered AS (
    SELECT * EXCLUDE (data, metrics, message), ("timestamp" * 1e9)::HUGEINT * 8589934592 + seq AS ord
    FROM stored WHERE event_type <> 'log'
),
entries AS (
    SELECT flow_id, span_id, min(ord) AS entry_ord, arg_min(node, ord) AS entry_node
    FROM ordered WHERE event_type = 'entry' GROUP BY flow_id, span_id
)
SELECT ordered.*, entry_ord, entry_node,
    event_type IN ('exit', 'error') AND (entry_ord IS NULL OR ord < entry_ord OR node = entry_node) AS is_end,
    event_type = 'error' AND NOT cancelled AS is_failure
FROM ordered LEFT JOIN entries USING (flow_id, span_id);

-- Spans with the figures that they report; mask names the figures that a span reports, a bit for each.
CREATE VIEW reported AS
SELECT *, (tokens IS NOT NULL)::INTEGER + (input_tokens IS NOT NULL)::INTEGER * 2
    + (output_tokens IS NOT NULL)::INTEGER * 4 + (cost_usd IS NOT NULL)::INTEGER * 8 AS mask
FROM (
    SELECT flow_id, span_id,
        arg_min_null(parent_id, ord) AS parent_id,
        coalesce(any_value(entry_node), arg_max(node, ord) FILTER (is_end), arg_min(node, ord)) AS node,
        CASE WHEN any_value(entry_ord) IS NOT NULL THEN arg_min_null(step, ord) FILTER (event_type = 'entry')
            ELSE coalesce(arg_max_null(step, ord) FILTER (is_end), arg_min_null(step, ord)) END AS step,
        arg_min_null("name", ord) FILTER (event_type = 'entry') AS "name",
        arg_min_null(attributes, ord) FILTER (event_type = 'entry') AS attributes,
        any_value(host) AS host,
        bool_or(event_type IN ('entry', 'exit', 'error')) AS is_whole,
        any_value(entry_ord) IS NOT NULL AS has_entry,
        coalesce(arg_max(CASE WHEN event_type = 'exit' THEN 'ok' WHEN cancelled THEN 'cancelled' ELSE 'error' END, ord)
            FILTER (is_end), 'running') AS status,
        arg_min("timestamp", ord) FILTER (event_type = 'entry') AS entered,
        min("timestamp") AS first_seen,
        arg_max("timestamp", ord) FILTER (is_end) AS ended,
        arg_max_null(duration_ms, ord) FILTER (is_end) AS duration_ms,
        arg_max_null(error_type, ord) FILTER (is_end) AS error_type,
        arg_max_null(error_message, ord) FILTER (is_end) AS error_message,
        coalesce(arg_max_null(inner_errors, ord) FILTER (is_end AND event_type = 'error'), []) AS inner_errors,
        bool_or(answered AND (entry_node IS NULL OR node = entry_node)) AS answered,
        arg_max(tokens, ord) FILTER (event_type <> 'entry' AND tokens <> 0) AS tokens,
        arg_max(input_tokens, ord) FILTER (event_type <> 'entry' AND input_tokens <> 0) AS input_tokens,
        arg_max(output_tokens, ord) FILTER (event_type <> 'entry' AND output_tokens <> 0) AS output_tokens,
        arg_max(cost_usd, ord) FILTER (event_type <> 'entry' AND cost_usd <> 0) AS cost_usd
    FROM span_events
    GROUP BY flow_id, span_id
);

CREATE VIEW all_spans AS
WITH RECURSIVE span AS MATERIALIZED (FROM reported),
above(flow_id, span_id, mask) AS (
    SELECT DISTINCT flow_id, parent_id, mask FROM span WHERE mask > 0 AND parent_id IS NOT NULL
    UNION
    SELECT span.flow_id, span.parent_id, above.mask
    FROM above JOIN span USING (flow_id, span_id) WHERE span.parent_id IS NOT NULL
),
repeated AS (SELECT flow_id, span_id, bit_or(mask) AS below FROM above GROUP BY flow_id, span_id),
passed AS (  -- by parent, the errors that its children have raised
    SELECT flow_id, parent_id AS span_id,
        flatten(list(list_prepend({'type': error_type, 'message': error_message}, inner_errors))) AS passed
    FROM span WHERE status = 'error' AND error_type IS NOT NULL AND parent_id IS NOT NULL AND parent_id <> span_id
    GROUP BY flow_id, parent_id
),
by_hand AS (  -- errors that were logged in a span and did not end it
    SELECT flow_id, span_id, count(*) AS errors
    FROM (
        SELECT DISTINCT flow_id, span_id, node, "timestamp", content
        FROM span_events WHERE is_failure AND NOT is_end
    )
    GROUP BY flow_id, span_id
)
SELECT flow_id, span_id, parent_id, node, step, status,
    moment(CASE WHEN has_entry THEN entered WHEN duration_ms IS NULL THEN first_seen
        ELSE ended - duration_ms / 1000 END) AS started,
    moment(ended) AS ended,
    duration_ms,
    CASE WHEN NOT answered AND coalesce(below, 0) & 1 = 0 THEN tokens END AS tokens,
    CASE WHEN NOT answered AND coalesce(below, 0) & 2 = 0 THEN input_tokens END AS input_tokens,
    CASE WHEN NOT answered AND coalesce(below, 0) & 4 = 0 THEN output_tokens END AS output_tokens,
    CASE WHEN NOT answered AND coalesce(below, 0) & 8 = 0 THEN cost_usd END AS cost_usd,
    (status = 'error' AND NOT coalesce(
        list_contains(passed, {'type': error_type, 'message': error_message})
        OR (len(inner_errors) > 0 AND list_has_all(passed, inner_errors)), false
    ))::INTEGER + coalesce(by_hand.errors, 0) AS errors,
    error_type, error_message, host, "name", attributes, is_whole, has_entry
FROM span
LEFT JOIN repeated USING (flow_id, span_id)
LEFT JOIN passed USING (flow_id, span_id)
LEFT JOIN by_hand USING (flow_id, span_id);

CREATE VIEW spans AS SELECT * EXCLUDE (attributes, is_whole, has_entry) FROM all_spans;

-- A run is a root. The roots of a flow are its spans of the highest rank (event.root_rank).
CREATE VIEW all_runs AS
WITH RECURSIVE span AS MATERIALIZED (FROM all_spans),
ranked AS (
    SELECT *, (node = 'flow')::INTEGER + CASE WHEN parent_id IS NULL THEN 2 ELSE 0 END AS place FROM span WHERE is_whole
),
highest AS (SELECT flow_id, max(place) AS place FROM ranked GROUP BY flow_id),
roots AS MATERIALIZED (
    SELECT ranked.*, row_number() OVER (PARTITION BY flow_id ORDER BY started, span_id) AS number
    FROM ranked JOIN highest USING (flow_id, place)
    WHERE place > 1 OR (place = 1 AND NOT EXISTS (  -- a root that continues a span of this log is none
        FROM ranked AS above
        WHERE above.flow_id = ranked.flow_id AND above.span_id = ranked.parent_id AND above.span_id <> ranked.span_id
    ))
),
shared AS (SELECT flow_id FROM roots GROUP BY flow_id HAVING count(*) > 1),
inside(flow_id, span_id, number) AS (  -- only flows with several roots need to know whose a span is
    SELECT flow_id, span_id, number FROM roots SEMI JOIN shared USING (flow_id)
    UNION
    SELECT span.flow_id, span.span_id, inside.number
    FROM inside JOIN span ON span.flow_id = inside.flow_id AND span.parent_id = inside.span_id
),
own AS (SELECT flow_id, span_id, min(number) AS number FROM inside GROUP BY flow_id, span_id),
counted AS (
    SELECT flow_id, coalesce(number, 1) AS number, count(*) AS events, min("timestamp") AS first_seen, max("timestamp") AS last_seen
    FROM (SELECT DISTINCT flow_id, span_id, event_type, node, "timestamp", content FROM stored)
    LEFT JOIN own USING (flow_id, span_id)
    GROUP BY flow_id, coalesce(number, 1)
),
totals AS (
    SELECT flow_id, coalesce(number, 1) AS number, sum(errors)::BIGINT AS errors, fsum(tokens) AS tokens, fsum(cost_usd) AS cost_usd
    FROM span LEFT JOIN own USING (flow_id, span_id)
    GROUP BY flow_id, coalesce(number, 1)
),
failures AS (
    SELECT flow_id, coalesce(number, 1) AS number, arg_min({'type': error_type, 'message': error_message}, ord) AS error
    FROM span_events LEFT JOIN own USING (flow_id, span_id)
    WHERE is_failure AND error_type IS NOT NULL
    GROUP BY flow_id, coalesce(number, 1)
)
SELECT flow_id,
    CASE WHEN has_entry THEN coalesce("name", node) END AS "name",
    coalesce(status, 'unknown') AS status,
    moment(first_seen) AS started,
    moment(last_seen) AS ended,
    duration_ms, events, coalesce(totals.errors, 0) AS errors,
    coalesce(totals.tokens, 0) AS tokens,
    -- at most 12 digits after the point, as in a flow log; beyond this limit a float has fewer. round of DuckDB 1 is not exact
    CASE WHEN totals.cost_usd >= 9000 THEN totals.cost_usd
        ELSE coalesce(printf('%.12f', totals.cost_usd)::DOUBLE, 0) END AS cost_usd,
    coalesce(place = 2, false) AS alone,
    coalesce(attributes, '{}'::JSON) AS attributes,
    error.type[:500] AS error_type, error.message[:500] AS error_message, host, roots.span_id AS root, first_seen, last_seen
FROM counted
LEFT JOIN roots USING (flow_id, number)
LEFT JOIN totals USING (flow_id, number)
LEFT JOIN failures USING (flow_id, number);

CREATE VIEW runs AS SELECT * EXCLUDE (first_seen, last_seen) FROM all_runs;
