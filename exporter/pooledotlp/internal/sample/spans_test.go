package sample

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSpansAreTheSameEachTime(t *testing.T) {
	td := Spans(20)
	assert.Equal(t, 20, td.SpanCount())
	assert.Equal(t, td, Spans(20))
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	assert.Equal(t, 10, spans.At(0).Attributes().Len())
	assert.NotEqual(t, spans.At(0).TraceID(), spans.At(1).TraceID())
}
