//! Tables of names: functions, constants, Greek letters, relation signs, and words that join.

use super::ast::{Const, Fun, Join, Rel, SetOp};

/// The function a name stands for, LaTeX command or ASCII word.
pub(crate) fn function(name: &str) -> Option<Fun> {
    Some(match name {
        "sin" => Fun::Sin,
        "cos" => Fun::Cos,
        "tan" | "tg" => Fun::Tan,
        "cot" | "ctg" | "cotg" => Fun::Cot,
        "sec" => Fun::Sec,
        "csc" | "cosec" => Fun::Csc,
        "arcsin" | "asin" => Fun::Asin,
        "arccos" | "acos" => Fun::Acos,
        "arctan" | "atan" | "arctg" => Fun::Atan,
        "arccot" | "acot" | "arcctg" => Fun::Acot,
        "arcsec" | "asec" => Fun::Asec,
        "arccsc" | "acsc" => Fun::Acsc,
        "sinh" | "sh" => Fun::Sinh,
        "cosh" | "ch" => Fun::Cosh,
        "tanh" | "th" => Fun::Tanh,
        "coth" | "cth" => Fun::Coth,
        "sech" => Fun::Sech,
        "csch" => Fun::Csch,
        "arcsinh" | "arsinh" | "asinh" => Fun::Asinh,
        "arccosh" | "arcosh" | "acosh" => Fun::Acosh,
        "arctanh" | "artanh" | "atanh" => Fun::Atanh,
        "exp" => Fun::Exp,
        "ln" => Fun::Ln,
        "log" => Fun::Log,
        "lg" => Fun::LogBase,
        "abs" => Fun::Abs,
        "floor" => Fun::Floor,
        "ceil" | "ceiling" => Fun::Ceil,
        "sgn" | "sign" => Fun::Sign,
        "gcd" | "GCD" => Fun::Gcd,
        "lcm" | "LCM" => Fun::Lcm,
        "min" => Fun::Min,
        "max" => Fun::Max,
        "Re" => Fun::Re,
        "Im" => Fun::Im,
        "arg" | "Arg" => Fun::Arg,
        "det" => Fun::Det,
        _ => return None,
    })
}

/// Function names that may be glued to their argument, as in `sinx`; longest first.
pub(crate) const GLUED: &[&str] = &[
    "arcsinh", "arccosh", "arctanh", "arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc", "sinh", "cosh",
    "tanh", "coth", "sech", "csch", "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "ln",
];

/// A constant by name.
pub(crate) fn constant(name: &str) -> Option<Const> {
    Some(match name {
        "pi" | "Pi" => Const::Pi,
        "infty" | "infinity" | "Infinity" | "inf" | "oo" => Const::Infinity,
        "e" | "exponentialE" => Const::E,
        "i" | "imath" | "imaginaryI" => Const::I,
        _ => return None,
    })
}

/// Greek letters, with variants folded together.
pub(crate) fn greek(name: &str) -> Option<&'static str> {
    const PLAIN: &[&str] = &[
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
        "xi", "omicron", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta",
        "Lambda", "Xi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "ell", "hbar", "aleph", "mho", "partial", "nabla",
    ];
    let folded = match name {
        "varepsilon" => "epsilon",
        "vartheta" => "theta",
        "varphi" => "phi",
        "varrho" => "rho",
        "varsigma" => "sigma",
        "varkappa" => "kappa",
        other => other,
    };
    PLAIN.iter().find(|letter| **letter == folded).copied()
}

/// A Greek letter as a character.
pub(crate) fn greek_char(c: char) -> Option<&'static str> {
    Some(match c {
        'α' => "alpha",
        'β' => "beta",
        'γ' => "gamma",
        'δ' => "delta",
        'ε' | 'ϵ' => "epsilon",
        'ζ' => "zeta",
        'η' => "eta",
        'θ' | 'ϑ' => "theta",
        'κ' => "kappa",
        'λ' => "lambda",
        'ν' => "nu",
        'ξ' => "xi",
        'ρ' => "rho",
        'σ' => "sigma",
        'τ' => "tau",
        'φ' | 'ϕ' => "phi",
        'χ' => "chi",
        'ψ' => "psi",
        'ω' => "omega",
        'Γ' => "Gamma",
        'Δ' => "Delta",
        'Θ' => "Theta",
        'Λ' => "Lambda",
        'Σ' => "Sigma",
        'Φ' => "Phi",
        'Ψ' => "Psi",
        'ℓ' => "ell",
        _ => return None,
    })
}

/// A relation by LaTeX name.
pub(crate) fn relation(name: &str) -> Option<Rel> {
    Some(match name {
        "le" | "leq" | "leqslant" | "leqq" | "lesssim" => Rel::Le,
        "ge" | "geq" | "geqslant" | "geqq" | "gtrsim" => Rel::Ge,
        "lt" => Rel::Lt,
        "gt" => Rel::Gt,
        "ne" | "neq" => Rel::Ne,
        "approx" | "approxeq" | "thickapprox" | "simeq" | "doteq" => Rel::Approx,
        "in" | "isin" => Rel::In,
        "notin" => Rel::NotIn,
        "equiv" | "coloneqq" => Rel::Eq,
        "to" | "rightarrow" | "mapsto" | "longrightarrow" | "Rightarrow" | "implies" | "Longrightarrow"
        | "leftrightarrow" | "Leftrightarrow" | "iff" | "subset" | "subseteq" | "supset" | "supseteq" | "sim"
        | "cong" | "perp" | "parallel" | "propto" | "longmapsto" | "gets" | "leftarrow" | "uparrow" | "downarrow"
        | "nearrow" | "searrow" | "prec" | "succ" | "mid" | "nmid" | "ll" | "gg" => Rel::Other,
        _ => return None,
    })
}

/// A set operation by LaTeX name.
pub(crate) fn set_op(name: &str) -> Option<SetOp> {
    Some(match name {
        "cup" | "cupdot" | "sqcup" | "uplus" | "vee" | "lor" => SetOp::Union,
        "cap" | "bigcap" | "wedge" | "land" => SetOp::Intersection,
        "setminus" | "smallsetminus" | "backslash" => SetOp::Minus,
        _ => return None,
    })
}

/// Words that join the items of a list, in the languages models answer in.
pub(crate) fn join(word: &str) -> Option<Join> {
    Some(match word.trim_matches([',', ' ', '~', ';', '\n', '\t']) {
        "and" | "And" | "AND" | "et" | "und" | "和" | "与" | "及" | "以及" | "且" | "、" | "&" => Join::And,
        "or" | "Or" | "OR" | "ou" | "oder" | "或" | "或者" => Join::Or,
        _ => return None,
    })
}

/// Whether a word turns what it says about a value into its opposite.
pub(crate) fn negates(word: &str) -> bool {
    matches!(word, "not" | "no" | "never" | "without" | "except" | "neither" | "cannot" | "isn't" | "aren't")
}

/// Whether a word before a formula makes another value of it: `square of 5`, `at least 3`.
pub(crate) fn alters(word: &str) -> bool {
    matches!(
        word,
        "minus"
            | "negative"
            | "than"
            | "least"
            | "most"
            | "divided"
            | "times"
            | "half"
            | "twice"
            | "double"
            | "triple"
            | "power"
            | "between"
            | "multiple"
            | "multiples"
            | "divisor"
            | "divisors"
            | "factor"
            | "factors"
            | "square"
            | "squared"
            | "cube"
            | "sum"
            | "product"
            | "difference"
            | "quotient"
            | "ratio"
            | "root"
            | "roots"
            | "reciprocal"
            | "inverse"
            | "opposite"
            | "complement"
            | "quarter"
            | "quarters"
            | "third"
            | "thirds"
            | "under"
            | "over"
            | "below"
            | "above"
            | "up"
            | "until"
    )
}

/// Whether a run of letters is an ordinary short word and no product of variables.
pub(crate) fn is_short_word(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "no" | "yes"
            | "is"
            | "the"
            | "for"
            | "all"
            | "odd"
            | "even"
            | "if"
            | "when"
            | "where"
            | "not"
            | "of"
            | "to"
            | "as"
            | "are"
            | "has"
            | "true"
            | "none"
            | "with"
            | "then"
            | "that"
            | "only"
            | "any"
            | "some"
            | "but"
            | "so"
            | "we"
            | "it"
            | "by"
            | "per"
            | "one"
            | "two"
            | "six"
            | "ten"
            | "both"
            | "each"
            | "from"
            | "dne"
            | "let"
            | "max"
            | "min"
            | "area"
            | "pct"
            | "nor"
            | "use"
            | "red"
            | "man"
            | "men"
            | "boy"
            | "sum"
            | "day"
            | "on"
            | "at"
            | "in"
    )
}

/// Small numbers as words.
pub(crate) fn number_word(word: &str) -> Option<i64> {
    const WORDS: &[&str] = &[
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    WORDS.iter().position(|w| word.eq_ignore_ascii_case(w)).map(|n| n as i64).or_else(|| {
        match word.to_ascii_lowercase().as_str() {
            "thirty" => Some(30),
            "forty" => Some(40),
            "fifty" => Some(50),
            "sixty" => Some(60),
            "seventy" => Some(70),
            "eighty" => Some(80),
            "ninety" => Some(90),
            _ => {
                let (tens, unit) = word.split_once('-')?;
                Some(number_word(tens)? + number_word(unit).filter(|unit| (1..10).contains(unit))?)
            }
        }
    })
}

/// A number in several words: `five hundred`, `minus two thousand thirty`.
pub(crate) fn number_words(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace().peekable();
    let negative = words.next_if(|word| matches!(*word, "minus" | "negative")).is_some();
    words.peek()?;
    let (mut total, mut section) = (0i64, 0i64);
    for word in words {
        match scale_word(word) {
            Some(100) => section = section.max(1) * 100,
            Some(scale) => {
                total = total.checked_add(section.max(1).checked_mul(scale)?)?;
                section = 0;
            }
            // A unit behind tens or a ten behind hundreds, and no telephone number.
            None => {
                let number = number_word(word)?;
                let fits = section == 0 || (section % 100 == 0 && number > 0);
                section = if fits { section + number } else { return None };
            }
        }
    }
    let value = total.checked_add(section)?;
    Some(if negative { -value } else { value })
}

/// What a word behind a number multiplies it by.
pub(crate) fn scale_word(word: &str) -> Option<i64> {
    Some(match word {
        "dozen" => 12,
        "hundred" => 100,
        "thousand" => 1_000,
        "million" => 1_000_000,
        "billion" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        _ => return None,
    })
}

/// Whether a word behind a number makes another number of it: `5 squared`, `3 halves`.
pub(crate) fn alters_behind(word: &str) -> bool {
    matches!(
        word,
        "squared"
            | "cubed"
            | "factorial"
            | "less"
            | "fewer"
            | "below"
            | "plus"
            | "minus"
            | "half"
            | "halves"
            | "thirds"
            | "quarters"
            | "fourths"
            | "fifths"
            | "sixths"
            | "eighths"
            | "tenths"
            | "hundredths"
            | "thousandths"
            | "least"
            | "most"
    )
}

/// A Chinese numeral such as 三十五 or 一百零二.
pub(crate) fn chinese_number(text: &str) -> Option<i64> {
    let (mut total, mut section, mut digit) = (0i64, 0i64, None::<i64>);
    let mut any = false;
    if text.chars().count() > 12 {
        return None;
    }
    for c in text.chars() {
        any = true;
        if let Some(value) = "零一二三四五六七八九".chars().position(|d| d == c) {
            digit = Some(value as i64);
            continue;
        }
        let unit = match c {
            '〇' => {
                digit = Some(0);
                continue;
            }
            '两' => {
                digit = Some(2);
                continue;
            }
            '十' => 10,
            '百' => 100,
            '千' => 1000,
            '万' => {
                total += (section + digit.unwrap_or(0)) * 10_000;
                section = 0;
                digit = None;
                continue;
            }
            _ => return None,
        };
        section += digit.unwrap_or(1) * unit;
        digit = None;
    }
    any.then_some(total + section + digit.unwrap_or(0))
}
