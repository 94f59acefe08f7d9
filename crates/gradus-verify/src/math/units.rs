//! Units of measure: dimension and exact scale, and labels that are no units at all.

use dashu::rational::RBig;

/// A unit as written behind a number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unit {
    /// A known unit: exponents of the base dimensions and the scale to base units.
    Known(Dimension, RBig),
    /// Words that name what is counted.
    Label(String),
}

/// Exponents of length, mass, time, current, temperature, amount, money, angle, information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Dimension(pub(crate) [i8; 9]);

impl Dimension {
    fn pow(self, n: i8) -> Self {
        Self(self.0.map(|e| e.saturating_mul(n)))
    }
    fn times(self, other: Self) -> Self {
        let mut out = self;
        for (a, b) in out.0.iter_mut().zip(other.0) {
            *a = a.saturating_add(b);
        }
        out
    }
}

const L: [i8; 9] = [1, 0, 0, 0, 0, 0, 0, 0, 0];
const M: [i8; 9] = [0, 1, 0, 0, 0, 0, 0, 0, 0];
const T: [i8; 9] = [0, 0, 1, 0, 0, 0, 0, 0, 0];
const I: [i8; 9] = [0, 0, 0, 1, 0, 0, 0, 0, 0];
const K: [i8; 9] = [0, 0, 0, 0, 1, 0, 0, 0, 0];
const C: [i8; 9] = [0, 0, 0, 0, 2, 0, 0, 0, 0];
const F: [i8; 9] = [0, 0, 0, 0, 3, 0, 0, 0, 0];
const N: [i8; 9] = [0, 0, 0, 0, 0, 1, 0, 0, 0];
const MONEY: [i8; 9] = [0, 0, 0, 0, 0, 0, 1, 0, 0];
const EURO: [i8; 9] = [0, 0, 0, 0, 0, 0, 2, 0, 0];
const POUND: [i8; 9] = [0, 0, 0, 0, 0, 0, 3, 0, 0];
const YUAN: [i8; 9] = [0, 0, 0, 0, 0, 0, 4, 0, 0];
const RUPEE: [i8; 9] = [0, 0, 0, 0, 0, 0, 5, 0, 0];
const YEN: [i8; 9] = [0, 0, 0, 0, 0, 0, 6, 0, 0];
const RAD: [i8; 9] = [0, 0, 0, 0, 0, 0, 0, 1, 0];
const TURN: [i8; 9] = [0, 0, 0, 0, 0, 0, 0, 2, 0];
const BIT: [i8; 9] = [0, 0, 0, 0, 0, 0, 0, 0, 1];
const AREA: [i8; 9] = [2, 0, 0, 0, 0, 0, 0, 0, 0];
const VOLUME: [i8; 9] = [3, 0, 0, 0, 0, 0, 0, 0, 0];
const SPEED: [i8; 9] = [1, 0, -1, 0, 0, 0, 0, 0, 0];
const FORCE: [i8; 9] = [1, 1, -2, 0, 0, 0, 0, 0, 0];
const ENERGY: [i8; 9] = [2, 1, -2, 0, 0, 0, 0, 0, 0];
const POWER: [i8; 9] = [2, 1, -3, 0, 0, 0, 0, 0, 0];
const PRESSURE: [i8; 9] = [-1, 1, -2, 0, 0, 0, 0, 0, 0];
const FREQUENCY: [i8; 9] = [0, 0, -1, 0, 0, 0, 0, 0, 0];
const CHARGE: [i8; 9] = [0, 0, 1, 1, 0, 0, 0, 0, 0];
const VOLT: [i8; 9] = [2, 1, -3, -1, 0, 0, 0, 0, 0];
const OHM: [i8; 9] = [2, 1, -3, -2, 0, 0, 0, 0, 0];
const FARAD: [i8; 9] = [-2, -1, 4, 2, 0, 0, 0, 0, 0];
const HENRY: [i8; 9] = [2, 1, -2, -2, 0, 0, 0, 0, 0];
const TESLA: [i8; 9] = [0, 1, -2, -1, 0, 0, 0, 0, 0];
const WEBER: [i8; 9] = [2, 1, -2, -1, 0, 0, 0, 0, 0];

/// Spelling, dimension, numerator and denominator of the scale. Factors: the SI brochure (9th
/// edition) and the international yard and pound agreement of 1959.
const UNITS: &[(&str, [i8; 9], i64, i64)] = &[
    ("m meter meters metre metres 米", L, 1, 1),
    ("cm centimeter centimeters centimetre centimetres cms 厘米", L, 1, 100),
    ("mm millimeter millimeters millimetre millimetres 毫米", L, 1, 1000),
    ("dm decimeter decimeters 分米", L, 1, 10),
    ("km kilometer kilometers kilometre kilometres kms 千米 公里", L, 1000, 1),
    ("µm μm micrometer micrometers micron microns", L, 1, 1_000_000),
    ("nm nanometer nanometers", L, 1, 1_000_000_000),
    ("in inch inches", L, 254, 10000),
    ("ft foot feet", L, 3048, 10000),
    ("yd yard yards", L, 9144, 10000),
    ("mi mile miles", L, 1609344, 1000),
    ("g gram grams gm 克", M, 1, 1000),
    ("kg kilogram kilograms kgs 千克 公斤", M, 1, 1),
    ("mg milligram milligrams", M, 1, 1_000_000),
    ("ton tons tonne tonnes 吨", M, 1000, 1),
    ("lb lbs pound pounds", M, 45359237, 100_000_000),
    ("oz ounce ounces", M, 45359237, 1_600_000_000),
    ("s sec secs second seconds 秒", T, 1, 1),
    ("ms millisecond milliseconds", T, 1, 1000),
    ("µs μs microsecond microseconds", T, 1, 1_000_000),
    ("ns nanosecond nanoseconds", T, 1, 1_000_000_000),
    ("min mins minute minutes 分钟", T, 60, 1),
    ("h hr hrs hour hours 小时 时", T, 3600, 1),
    ("day days 天", T, 86400, 1),
    ("week weeks 周", T, 604800, 1),
    ("year years yr yrs 年", T, 31_557_600, 1),
    ("month months 个月", T, 2_629_800, 1),
    ("decade decades", T, 315_576_000, 1),
    ("A amp amps ampere amperes", I, 1, 1),
    ("mA milliampere milliamperes", I, 1, 1000),
    ("K kelvin kelvins", K, 1, 1),
    ("°C ℃ celsius", C, 1, 1),
    ("°F ℉ fahrenheit", F, 1, 1),
    ("mol mole moles", N, 1, 1),
    ("$ dollar dollars USD usd bucks 美元", MONEY, 1, 1),
    ("cent cents ¢", MONEY, 1, 100),
    ("€ euro euros EUR", EURO, 1, 1),
    ("£ GBP", POUND, 1, 1),
    ("yuan RMB CNY 元", YUAN, 1, 1),
    ("rupee rupees ₹", RUPEE, 1, 1),
    ("¥ yen", YEN, 1, 1),
    ("rad radian radians", RAD, 1, 1),
    ("rev revolution revolutions", TURN, 1, 1),
    ("bit bits", BIT, 1, 1),
    ("byte bytes", BIT, 8, 1),
    ("KB kilobyte kilobytes", BIT, 8000, 1),
    ("MB megabyte megabytes", BIT, 8_000_000, 1),
    ("GB gigabyte gigabytes", BIT, 8_000_000_000, 1),
    ("hectare hectares ha 公顷", AREA, 10000, 1),
    ("acre acres", AREA, 40468564224, 10_000_000),
    ("L l liter liters litre litres 升", VOLUME, 1, 1000),
    ("mL ml milliliter milliliters millilitre millilitres 毫升", VOLUME, 1, 1_000_000),
    ("gallon gallons gal", VOLUME, 3785411784, 1_000_000_000_000),
    ("quart quarts", VOLUME, 946352946, 1_000_000_000_000),
    ("pint pints", VOLUME, 473176473, 1_000_000_000_000),
    ("mph", SPEED, 44704, 100000),
    ("kph kmh", SPEED, 1000, 3600),
    ("N newton newtons", FORCE, 1, 1),
    ("kN kilonewton kilonewtons", FORCE, 1000, 1),
    ("J joule joules", ENERGY, 1, 1),
    ("kJ kilojoule kilojoules", ENERGY, 1000, 1),
    ("MJ megajoule megajoules", ENERGY, 1_000_000, 1),
    ("cal calorie calories", ENERGY, 4184, 1000),
    ("kcal kilocalorie kilocalories", ENERGY, 4184, 1),
    ("W watt watts", POWER, 1, 1),
    ("kW kilowatt kilowatts", POWER, 1000, 1),
    ("MW megawatt megawatts", POWER, 1_000_000, 1),
    ("Pa pascal pascals", PRESSURE, 1, 1),
    ("kPa kilopascal kilopascals", PRESSURE, 1000, 1),
    ("MPa", PRESSURE, 1_000_000, 1),
    ("atm atmosphere atmospheres", PRESSURE, 101325, 1),
    ("bar bars", PRESSURE, 100_000, 1),
    ("Hz hertz", FREQUENCY, 1, 1),
    ("kHz kilohertz", FREQUENCY, 1000, 1),
    ("MHz megahertz", FREQUENCY, 1_000_000, 1),
    ("coulomb coulombs", CHARGE, 1, 1),
    ("V volt volts", VOLT, 1, 1),
    ("mV millivolt millivolts", VOLT, 1, 1000),
    ("kV kilovolt kilovolts", VOLT, 1000, 1),
    ("Ω ohm ohms", OHM, 1, 1),
    ("farad farads", FARAD, 1, 1),
    ("µF μF microfarad microfarads", FARAD, 1, 1_000_000),
    ("henry henries", HENRY, 1, 1),
    ("tesla teslas", TESLA, 1, 1),
    ("weber webers", WEBER, 1, 1),
];

/// The unit a word names.
pub(crate) fn lookup(word: &str) -> Option<(Dimension, RBig)> {
    let found = UNITS.iter().find(|(names, ..)| names.split(' ').any(|name| name == word)).or_else(|| {
        let lower = word.to_lowercase();
        if lower.chars().count() < 3 || lower == word {
            return None;
        }
        UNITS.iter().find(|(names, ..)| names.split(' ').any(|name| name == lower))
    })?;
    Some((Dimension(found.1), RBig::from_parts(found.2.into(), (found.3 as u64).into())))
}

/// Reads a unit phrase: `cm^2`, `square feet`, `m/s`, `kilometers per hour`, `N-m`; anything else
/// is a label.
pub(crate) fn parse(text: &str) -> Unit {
    let text = text.trim().trim_end_matches(['.', ',']).trim();
    known(text).map_or_else(|| Unit::Label(text.to_lowercase()), |(d, s)| Unit::Known(d, s))
}

/// The unit, if every part of the phrase is known.
pub(crate) fn known(text: &str) -> Option<(Dimension, RBig)> {
    if text.is_empty() || text.len() > 80 {
        return None;
    }
    let spaced = text
        .replace("square", " square ")
        .replace("cubic", " cubic ")
        .replace("squared", " ^2 ")
        .replace("sq.", " square ")
        .replace("cubed", " ^3 ")
        .replace('/', " per ")
        .replace("平方", " square ")
        .replace("立方", " cubic ")
        .replace(['·', '-', '*', '(', ')', '{', '}', '~', '\\', '每'], " ")
        .replace('²', "^2")
        .replace('³', "^3")
        .replace(" ^", "^")
        .replace("^ ", "^");
    let mut dimension = Dimension::default();
    let mut scale = RBig::ONE;
    let mut sign = 1i8;
    let mut power = 1i8;
    let mut seen = false;
    for word in spaced.split_whitespace() {
        match word {
            "per" => {
                sign = -1;
                continue;
            }
            "square" | "sq" | "squared" => {
                power = 2;
                continue;
            }
            "cubic" | "cu" => {
                power = 3;
                continue;
            }
            "units" | "unit" if power != 1 || !seen => return None,
            "a" | "an" | "of" | "the" => return None,
            _ => {}
        }
        let (name, exponent) = match word.split_once('^') {
            Some((name, exponent)) => (name, exponent.parse::<i8>().ok()?),
            None => match word.char_indices().next_back() {
                Some((at, digit @ ('2' | '3'))) if at > 0 => (&word[..at], if digit == '2' { 2 } else { 3 }),
                _ => (word, 1),
            },
        };
        if !(-9..=9).contains(&exponent) {
            return None;
        }
        let (d, s) = lookup(name.trim_end_matches('.'))?;
        let exponent = exponent * sign * power;
        dimension = dimension.times(d.pow(exponent));
        let factor = s.pow(isize::from(exponent.abs()));
        scale = if exponent < 0 { scale / factor } else { scale * factor };
        power = 1;
        seen = true;
    }
    seen.then_some((dimension, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_units_have_a_dimension_and_a_scale() {
        assert_eq!(known("km / hr"), known("kilometers per hour"));
        assert_eq!(known("square cm"), known("cm^2"));
        assert_eq!(known("apples"), None);
        let (length, factor) = known("feet").expect("feet are known");
        assert_eq!(length, Dimension(L));
        assert_eq!(factor, RBig::from_parts(3048.into(), 10000u32.into()));
    }
}
