//! Bytes as hexadecimal digits: lowercase, two a byte.

/// The digits of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut res = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        res.extend([byte >> 4, byte & 15].into_iter().filter_map(|n| char::from_digit(n.into(), 16)));
    }
    res
}

/// The bytes of `digits`; none if these are no lowercase digits, or not two a byte.
pub fn decode(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

/// What one digit stands for.
pub(crate) fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_in_one_way_and_read_back() {
        for (bytes, digits) in [(vec![], ""), (vec![0, 0xff], "00ff"), (vec![0xa1], "a1")] {
            assert_eq!(encode(&bytes), digits);
            assert_eq!(decode(digits), Some(bytes));
        }
        for wrong in ["0", "0g", "AA", "é", " 0"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
