-- Statistics of nodes over lines, equal to those of store.run_stats.
--
-- The package's own reader follows the order of reading. A flow is even if that order makes no difference to it: a span has at most
-- one entry, which comes first, and at most one end of the same node, which comes last; no event is there twice; and a span that
-- reports tokens or costs ends before its parent. All other flows are uneven, and are left to the package's own reader.
--
-- source (json, filename) has the lines in the order of reading. Ids are compared by hashes of 64 bits.

-- Whether a text that DuckDB reads is JSON: it also reads NaN, infinities, numbers beyond the range of a float, and commas before
-- a bracket. A step that is null is told apart from none here, because it costs nothing more. One expression for each character
-- before a value: an expression that begins with a literal is several times as fast.
CREATE MACRO is_strict(line) AS strlen(line) <= 1048576
    AND NOT regexp_matches(line, ',\s*([}\]]|"step"\s*:\s*null|[-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})')
    AND NOT regexp_matches(line, ':\s*([-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})')
    AND NOT regexp_matches(line, '\[\s*([-+]?([iI]|[nN][aA])|-?[0-9][0-9.]*[eE][+]?[0-9]{3})');

CREATE MACRO is_text(value) AS starts_with(value::VARCHAR, '"');

-- Whether the last metrics of a line, whose text is followed by ending alone, are numbers within 64 bits, or null.
CREATE MACRO has_numbers(tail, ending) AS ends_with(tail, ending)
    AND (tail = ending OR NOT regexp_matches(left(tail, length(tail) - length(ending)), '\}|:\s*(["tf\[{]|-?[0-9]{19})'));

-- Whether a line is surely an event in the layout of this package. head is its text up to its second brace: no key in it is inside
-- another object. tail is its text after its last metrics.
CREATE MACRO is_usual(line, head, tail, t) AS coalesce(
    starts_with(head, '"flow_id":') AND ends_with(head, ',"data":')
    AND is_text(t.flow_id) AND is_text(t.span_id) AND is_text(t.node) AND is_text(t.event_type)
    AND CASE WHEN t.parent_id IS NULL THEN contains(head, '"parent_id":null,') ELSE is_text(t.parent_id) END
    AND CASE WHEN t.message IS NULL THEN ends_with(head, '"message":null,"data":') ELSE is_text(t.message) END
    AND t.level IN ('"debug"', '"info"', '"warn"', '"error"')
    AND TRY_CAST(t.timestamp::VARCHAR AS DOUBLE) BETWEEN 0 AND 9e18
    AND CASE WHEN t.step IS NULL THEN has_numbers(tail, '}}')
        ELSE is_text(t.step) AND has_numbers(tail, concat('},"step":', t.step::VARCHAR, '}')) END
    AND t.data.error IS NULL
    AND is_strict(line)
    -- deeper than jsonl.MAX_DEPTH, or a number with more digits than Python reads
    AND CASE WHEN strlen(line) < 700 THEN true WHEN regexp_matches(line, '[0-9]{500}') THEN false
        ELSE strlen(line) - strlen(replace(replace(line, '[', ''), '{', '')) <= 200 END,
    false
);

-- Whether a span that reports a figure ends at a moment at which its parent does not take it: before the parent's beginning, or
-- after its end. Of spans without an end, the youngest ends first.
CREATE MACRO is_late(own, up) AS CASE
    WHEN own.marks >= 65536 THEN NOT (up.opened < own.ended AND (up.marks < 65536 OR own.ended < up.ended))
    ELSE up.marks >= 65536 OR up.opened > own.opened
END;

CREATE MACRO is_whole(number) AS NOT regexp_matches(number, '[.eE]');
