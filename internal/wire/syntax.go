package wire

import (
	"fmt"
	"slices"
	"strings"
)

// SyntaxError says where and why bytes are not an export request.
type SyntaxError struct {
	// Signal is what the bytes were checked as.
	Signal Signal
	// Offset is where the offending field starts, in bytes from the start of the request.
	Offset int
	// Path names the fields around it from the outside, for example "resource_spans.scope_spans.spans".
	Path string
	// Rule is what the field breaks.
	Rule string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	where := ""
	if e.Path != "" {
		where = " in " + e.Path
	}
	return fmt.Sprintf("malformed %s request at offset %d%s: %s", e.Signal, e.Offset, where, e.Rule)
}

// rule is why a walk stopped; ok is zero, so that the walk's hot path compares with zero.
type rule uint8

const (
	ok rule = iota
	ruleTruncated
	ruleVarint
	ruleTag
	ruleWireType
	ruleIllegalType
	ruleEndGroup
	ruleTraceID
	ruleSpanID
	rulePacked
	ruleDepth
)

var ruleNames = [...]string{
	ok:              "",
	ruleTruncated:   "the field ends beyond its message",
	ruleVarint:      "a varint takes more than 10 bytes",
	ruleTag:         "the field number is not between 1 and 2147483647",
	ruleWireType:    "the wire type is not the field's",
	ruleIllegalType: "the wire type is not 0 to 5",
	ruleEndGroup:    "a group ends that was not begun",
	ruleTraceID:     "a trace ID has 0 or 16 bytes",
	ruleSpanID:      "a span ID has 0 or 8 bytes",
	rulePacked:      "packed values do not fill the field",
	ruleDepth:       "messages are nested deeper than 10000",
}

// maxPath bounds the path of an error: attribute values may be nested thousands deep.
const maxPath = 16

// joinPath turns names, innermost first, into a path.
func joinPath(names []string) string {
	names = slices.Clone(names)
	slices.Reverse(names)
	if len(names) > maxPath {
		names = append(names[:maxPath], "...")
	}
	return strings.Join(names, ".")
}
