-- The spans of the table event, the figures that they have reported, the flows that are uneven, and runs; see figures.sql.

CREATE TEMP TABLE span AS
SELECT span, any_value(flow) AS flow,
    min(rowid * 8 + code) AS opened, max(rowid * 8 + code) AS ended,
    sum(CASE WHEN code = 1 THEN 1 WHEN code > 2 THEN 65536 ELSE 0 END) AS marks,
    min(CASE WHEN code <> 2 THEN node_hash END) AS least, max(CASE WHEN code <> 2 THEN node_hash END) AS most,
    min(node_hash) <> max(node_hash) AS is_mixed,
    coalesce(min(CASE WHEN code <> 2 THEN node_hash END), min(node_hash)) AS node_hash,
    min(parent) AS parent,
    min(parent) <> max(parent) OR count(parent) NOT IN (0, count(*)) AS is_astray,
    bool_or(answered) AS answered
FROM event WHERE code > 0 GROUP BY span;

-- The figures that a span has reported; in most logs few events have one.
CREATE TEMP TABLE figure AS
SELECT span, any_value(flow) AS flow,
    arg_max(metrics.tokens, rowid) FILTER (metrics.tokens::DOUBLE <> 0) AS tokens,
    arg_max(metrics.cost_usd, rowid) FILTER (metrics.cost_usd::DOUBLE <> 0) AS cost_usd
FROM event
WHERE code > 1 AND (metrics.tokens::DOUBLE <> 0 OR metrics.cost_usd::DOUBLE <> 0)
GROUP BY span;

-- By parent, whether a span below it reports tokens (bit 1) or costs (bit 2); and whether one of these ends after its parent.
CREATE TEMP TABLE below AS
WITH RECURSIVE above(span, flow, mask, is_late) AS (
    SELECT up.span, up.flow, (f.tokens IS NOT NULL)::INTEGER + 2 * (f.cost_usd IS NOT NULL)::INTEGER, is_late(own, up)
    FROM figure AS f JOIN span AS own USING (span) JOIN span AS up ON up.span = own.parent
    UNION
    SELECT up.span, up.flow, above.mask, is_late(own, up)
    FROM above JOIN span AS own USING (span) JOIN span AS up ON up.span = own.parent
)
SELECT span, any_value(flow) AS flow, bit_or(mask) AS mask, bool_or(is_late) AS is_late FROM above GROUP BY span;

CREATE TEMP TABLE uneven AS
SELECT flow FROM span
WHERE is_astray OR least <> most
    OR marks % 65536 > 1 OR marks >= 131072
    OR (marks % 65536 = 1 AND opened % 8 <> 1)
    OR (marks >= 65536 AND ended % 8 < 3)
    OR (marks % 65536 = 0 AND is_mixed)
UNION SELECT flow FROM below WHERE is_late
UNION SELECT flow FROM event WHERE code = 7
UNION SELECT any_value(flow) FROM event WHERE code IN (0, 2) GROUP BY span, code, node_hash, moment HAVING count(*) > 1;

-- Runs of a flow are its roots: the spans of the highest rank, see event.root_rank.
CREATE TEMP VIEW run AS
WITH ranked AS (
    SELECT flow, span, parent, CASE WHEN parent IS NULL THEN 2 ELSE 0 END + (node = '"flow"')::INTEGER AS place
    FROM event WHERE code NOT IN (0, 2)
),
highest AS (SELECT flow, max(place) AS place FROM ranked GROUP BY flow)
SELECT flow, count(DISTINCT span) AS runs FROM ranked JOIN highest USING (flow, place)
WHERE place > 1 OR (place = 1 AND (parent = span OR NOT EXISTS (
    SELECT 1 FROM ranked AS other WHERE other.span = ranked.parent
)))
GROUP BY flow;
