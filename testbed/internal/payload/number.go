package payload

import "encoding/binary"

// Timestamps of metrics and logs step by a microsecond an item; the nanoseconds below it are noise, as clocks have it.
const (
	timeBase = 1_767_225_600_000_000_000 // 2026-01-01T00:00:00Z
	timeStep = 1_000
)

// Unknown is the number of an item that was never generated. It is above all that can be sent.
const Unknown = ^uint64(0)

// services is how many requests in a row make a chain of services that share traces.
const services = 3

// scramble is the finalizer of splitmix64 (Steele, Lea and Flood, 2014): a bijection whose output looks random.
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unscramble is the inverse of scramble: the factors are the modular inverses, the shifts are undone by repetition.
func unscramble(x uint64) uint64 {
	x = (x ^ x>>31 ^ x>>62) * 0x319642b2d24d8ec3
	x = (x ^ x>>27 ^ x>>54) * 0x96de1b173f119089
	return x ^ x>>30 ^ x>>60
}

// spanID never is zero for a number that can be sent: a zero ID is invalid in OTLP, and only 0 scrambles to 0.
func spanID(number uint64) (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], scramble(number+1))
	return id
}

func numberOfSpan(id []byte) uint64 {
	if len(id) != 8 {
		return Unknown
	}
	return unscramble(binary.BigEndian.Uint64(id)) - 1
}

func timestamp(number uint64) uint64 {
	return timeBase + number*timeStep + scramble(number+1)%timeStep
}

func numberOfTime(t uint64) uint64 {
	if t < timeBase {
		return Unknown
	}
	number := (t - timeBase) / timeStep
	if timestamp(number) != t {
		return Unknown
	}
	return number
}

// traceContext says to which trace the span of a number belongs, and which span is its parent (all zero for the first service).
func traceContext(number uint64, perRequest int) (traceID [16]byte, parent [8]byte) {
	n := uint64(perRequest)
	seq, index := number/n, number%n
	trace := seq/services*n + index
	binary.BigEndian.PutUint64(traceID[:8], scramble(trace+1))
	binary.BigEndian.PutUint64(traceID[8:], scramble(^trace))
	if seq%services > 0 {
		parent = spanID(number - n)
	}
	return traceID, parent
}
