-- Statistics of nodes over the lines of logs, equal to those of store.run_stats, which follows the order of reading.
--
-- line has one row per line. Its rowid is the order of reading.

CREATE MACRO strict(line) AS NOT (
    regexp_matches(line, ',\s*([}\]]|[-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})')
    OR regexp_matches(line, ':\s*([-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})')
    OR regexp_matches(line, '\[\s*([-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})')
);

CREATE MACRO read_lines(files) AS TABLE
SELECT filename, is_sure,
    CASE WHEN is_sure THEN json_extract_string(x[1], '$') END AS flow_id,
FROM (SELECT filename, json, json_extract(json, [
    '$.flow_id', '$.span_id', '$.parent_id', '$.node', '$.level', '$.timestamp', '$.event_type', '$.message', '$.data', '$.metrics',
    '$.step', '$.data.error', '$.data.cancelled', '$.data.answered'
])::VARCHAR[] AS x FROM files);
