-- Macros that make rows of the lines of logs: one row per event, with the columns of a Parquet export.
--
-- is_plain tells whether a line is surely an event as jsonl.is_readable knows it, with the same values. DuckDB reads more than
-- JSON: NaN, infinities, commas before a bracket. A file with any other line is read by Python instead. Not noticed are keys that
-- are in an object twice, of which DuckDB takes the first and Python the last, and nesting deeper than jsonl.MAX_DEPTH.

-- A time, Unix seconds, as a timestamp; NULL if no calendar has it.
CREATE MACRO moment(seconds) AS CASE WHEN seconds BETWEEN -6e10 AND 9e12 THEN to_timestamp(seconds) END;

CREATE MACRO types_of(line) AS json_type(line, [
    '$.flow_id', '$.span_id', '$.parent_id', '$.node', '$.level', '$.timestamp', '$.event_type', '$.message', '$.data',
    '$.metrics', '$.step', '$.data.error', '$.data.error.type', '$.data.error.message', '$.data.error.traceback',
    '$.data.error.where', '$.data.error.cause', '$.data.error.cause.type', '$.data.error.cause.message',
    '$.data.error.notes', '$.data.error.errors'
]);

CREATE MACRO all_texts(line, list_path, item_path) AS
    coalesce(len([kind FOR kind IN json_type(line, item_path) IF kind = 'VARCHAR']), 0) = json_array_length(line, list_path);

CREATE MACRO is_plain(line) AS line IS NOT NULL AND coalesce((
    SELECT t[1] = 'VARCHAR' AND t[2] = 'VARCHAR' AND t[3] IN ('VARCHAR', 'NULL') AND t[4] = 'VARCHAR'
        AND v[1] IN ('debug', 'info', 'warn', 'error')
        AND t[6] IN ('UBIGINT', 'BIGINT', 'DOUBLE') AND TRY_CAST(v[2] AS DOUBLE) BETWEEN 0 AND 9e18
        AND t[7] = 'VARCHAR' AND t[8] IN ('VARCHAR', 'NULL') AND t[9] = 'OBJECT' AND t[10] = 'OBJECT'
        AND coalesce(t[11], 'VARCHAR') = 'VARCHAR'
        AND CASE WHEN t[12] IS NULL OR t[12] = 'NULL' THEN true ELSE
            t[12] = 'OBJECT' AND t[13] = 'VARCHAR' AND t[14] = 'VARCHAR'
            AND coalesce(t[15], 'VARCHAR') = 'VARCHAR' AND coalesce(t[16], 'VARCHAR') = 'VARCHAR'
            AND (t[17] IS NULL OR (t[18] = 'VARCHAR' AND t[19] = 'VARCHAR'))
            AND CASE WHEN t[20] IS NULL THEN true ELSE
                t[20] = 'ARRAY' AND all_texts(line, '$.data.error.notes', '$.data.error.notes[*]') END
            AND CASE WHEN t[21] IS NULL THEN true ELSE
                t[21] = 'ARRAY' AND all_texts(line, '$.data.error.errors', '$.data.error.errors[*].type')
                AND all_texts(line, '$.data.error.errors', '$.data.error.errors[*].message') END
        END
        -- a metric is a number within 64 bits, or null
        AND NOT regexp_matches(v[3], ':(["tf\[{]|-?[0-9]{19})')
        AND strlen(line::VARCHAR) <= 1048576
        AND NOT regexp_matches(
            line::VARCHAR,
            '[:,\[]\s*([-+]?(?i:nan|inf|infinity)\s*[,}\]]|-?[0-9][0-9.]*[eE][+]?[0-9]{3})|,\s*[}\]]'
        )
    FROM (SELECT types_of(line) AS t, json_extract_string(line, ['$.level', '$.timestamp', '$.metrics']) AS v)
), false);

CREATE MACRO texts_of(line) AS json_extract_string(line, [
    '$.flow_id', '$.span_id', '$.parent_id', '$.node', '$.step', '$.level', '$.event_type', '$.timestamp', '$.message',
    '$.metrics.duration_ms', '$.metrics.tokens', '$.metrics.input_tokens', '$.metrics.output_tokens', '$.metrics.cost_usd',
    '$.data.error.type', '$.data.error.message', '$.data.cancelled', '$.data.answered', '$.data.name', '$.data.resource.host'
]);

-- The simple values of what a run was given, as store.summaries keeps them.
CREATE MACRO attributes_of(input) AS to_json(map_from_entries([
    item FOR item IN map_entries(TRY_CAST(input AS MAP(VARCHAR, JSON)))
    IF CASE json_type(item.value)
        WHEN 'OBJECT' THEN false WHEN 'ARRAY' THEN false
        WHEN 'VARCHAR' THEN length(json_extract_string(item.value, '$')) <= 200
            AND NOT starts_with(json_extract_string(item.value, '$'), getvariable('redacted'))
        ELSE true END
][1:20]));

-- of the view lines (line, host), all of them plain
CREATE TEMP VIEW rows AS
    SELECT
        v[1] AS flow_id, v[2] AS span_id, v[3] AS parent_id, v[4] AS node, v[5] AS step, v[6] AS level, v[7] AS event_type,
        moment(v[8]::DOUBLE) AS ts, v[8]::DOUBLE AS "timestamp", v[9] AS message,
        v[10]::DOUBLE AS duration_ms, v[11]::DOUBLE AS tokens, v[12]::DOUBLE AS input_tokens, v[13]::DOUBLE AS output_tokens,
        v[14]::DOUBLE AS cost_usd, v[15] AS error_type, v[16] AS error_message,
        -- the errors of a group, as tree.flow_facts knows them
        CASE WHEN v[7] = 'error' AND json_exists(line, '$.data.error.errors') THEN [
            {'type': json_extract_string(item, '$.type'), 'message': json_extract_string(item, '$.message')}
            FOR item IN json_extract(line, '$.data.error.errors[*]')
            IF json_extract_string(item, '$.type') <> '…'
        ] END AS inner_errors,
        coalesce(v[17] NOT IN ('false', '0', '', '[]', '{}'), false) AS cancelled,
        CASE WHEN v[18] = 'true' AND v[7] <> 'metric' THEN json_type(line, '$.data.answered') = 'BOOLEAN' ELSE false END AS answered,
        CASE WHEN v[7] = 'entry' AND json_type(line, '$.data.name') = 'VARCHAR' THEN v[19] END AS "name",
        CASE WHEN v[7] = 'entry' AND (v[3] IS NULL OR v[4] = 'flow')
            THEN coalesce(attributes_of(json_extract(line, '$.data.input')), '{}'::JSON) END AS attributes,
        host,
        json_extract(line, '$.data') AS data, json_extract(line, '$.metrics') AS metrics,
        -- tells two events of one moment apart, as event.identity does
        CASE WHEN v[7] NOT IN ('entry', 'exit') THEN md5_number_lower(concat_ws(
            chr(0), coalesce(v[9], ''), json_extract(line, '$.data')::VARCHAR, json_extract(line, '$.metrics')::VARCHAR
        )) END AS content
    FROM (SELECT line, texts_of(line) AS v, host FROM lines);
