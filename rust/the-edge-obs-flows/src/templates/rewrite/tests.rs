use super::super::scan::parts;
use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(template(text, &parts(text)), expected);
}

#[test]
fn comparisons_become_a_test() {
    let cases = [
        (
            "{{ a.b < 3 and not c }}",
            "{{ ((a.b) is __compared__('<', (3), )) and not c }}",
        ),
        (
            "{{ f(a<=b, [1 in c]['0']) }}",
            "{{ f(((a) is __compared__('<=', (b), )), ([((1) is __compared__('in', (c), ))]|__made__)['0']) }}",
        ),
        (
            "{{ 0 < a == b not in c.in | d }}",
            "{{ ((0) is __compared__('<', (a), '==', (b), 'not in', (c.in | d|__step__), )) }}",
        ),
        (
            "{%- for a, b in c.items() if a > b recursive -%}",
            "{%- for a, b in ( c.items())|__items__ if ((a) is __compared__('>', (b), )) recursive -%}",
        ),
        (
            "{% for a in b -%}{% elif a not in (b < c) %}",
            "{% for a in ( b)|__items__ -%}{% elif ((a) is __compared__('not in', ((((b) is __compared__('<', (c), )))), )) %}",
        ),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}

#[test]
fn what_can_grow_is_measured() {
    let cases = [
        ("{{ a + b - c }}", "{{  __calculated__(a, '+', b, '-', c) }}"),
        ("{{- a ~ -b * 2 -}}", "{{-  __calculated__(a, '~',  __calculated__(-b, '*', 2)) -}}"),
        ("{{ 1e-5 - a ** -2 // b * c }}", "{{ 1e-5 -  __calculated__(a ** -2, '//', b, '*', c) }}"),
        ("{{ a is divisibleby -3 }}{{ f(*a, **b) }}", "{{ a is divisibleby -3 }}{{ f(*a, **b) }}"),
        (
            "{{ a + b < c if d else e * 2 }}",
            "{{ (( __calculated__(a, '+', b)) is __compared__('<', (c), )) if d else  __calculated__(e, '*', 2) }}",
        ),
        ("{{ a == b != c }}", "{{ ((a) is __compared__('==', (b), '!=', (c), )) }}"),
        ("{{ a | map('b') | first | map }}", "{{ a | map('b')|__made__ | first|__step__ | map|__made__ }}"),
        ("{{ a[b]['c'][1][d, ][e:f] }}", "{{ a[__index__(b)]['c'][__index__(1)][__index__((d,)) ][(e)|__step__:f] }}"),
        ("{{ a[ :b + 1].c[::d][e if f else g : ] }}", "{{ a[none|__step__ : __calculated__(b, '+', 1)].c[none|__step__::d][(e if f else g)|__step__ : ] }}"),
        ("{{ {'a': [1, b[2:]]}['a'][:1] }}", "{{ ({'a': ([1, b[(2)|__step__:]]|__made__)}|__made__)['a'][none|__step__:1] }}"),
        ("{{ loop.changed(a, b) }}", "{{ loop.changed(__changed__(a, b)) }}"),
        ("{% set n.v = a, b %}", "{% set n.v = ( a, b)|__held__(n) %}"),
        ("{% set n.v, x = a %}{% set y = [] %}", "{% set n.v, x = ( a)|__held__(n, x) %}{% set y = [] %}"),
        (
            "{% macro m(a, b=a + a) -%}{% call(c, d=[1]) m(a * 2) %}",
            "{% macro m(a, b= __calculated__(a, '+', a)) -%}{% call(c, d=([1]|__made__)) m( __calculated__(a, '*', 2)) %}",
        ),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}

#[test]
fn what_is_no_comparison_stays() {
    for text in [
        "{{ a - b }} < {% set x = 'c < d' %}",
        "{{ a is not none or b is in(c) }}",
        "{{ (a) }}{{ [] }}{{ {} }}{{ a['1'](2, 3)['b'] }}",
        "{% set (a, b) = c %}{% call(a, b) c() %}{% endcall %}{% macro m(a, b=1) %}{% endmacro %}",
        "{% if a -%} b {%- endif %}",
        "{{ f(x=1, y=(2)) }}",
        "{{ a < }}",
        "{{ < b }}",
    ] {
        check(text, text);
    }
}
