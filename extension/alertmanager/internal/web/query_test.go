package web

import (
	"context"
	"errors"
	"math"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asked is an engine that takes a second for an answer of so many points.
type asked struct {
	courses
	points int
	fail   error
	count  atomic.Int64
}

func newAsked() *asked {
	a := &asked{points: 3}
	a.courses = courses{
		kept: 15 * time.Second, running: make(chan struct{}, maxQueries), answers: map[rangeQuery]*courseAnswer{},
		ask: func(ctx context.Context, _ rangeQuery) (promql.Matrix, error) {
			a.count.Add(1)
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Second):
			}
			points := make([]promql.FPoint, a.points)
			return promql.Matrix{{Metric: labels.FromStrings("a", "b"), Floats: points}}, a.fail
		},
	}
	return a
}

func TestAQueryIsEvaluatedOnceForAllViewersOfAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, q := newAsked(), rangeQuery{expr: "x", end: 1000}
		gone, cancel := context.WithCancel(t.Context())
		var viewers sync.WaitGroup
		viewers.Go(func() {
			_, err := a.get(gone, q)
			assert.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		viewers.Go(func() {
			_, err := a.get(gone, q)
			assert.ErrorIs(t, err, context.Canceled, "while waiting for the answer of another")
		})
		for range 10 {
			viewers.Go(func() {
				found, err := a.get(t.Context(), q)
				assert.NoError(t, err)
				assert.Equal(t, "b", found[0].Metric.Get("a"))
			})
		}
		synctest.Wait()
		cancel()
		viewers.Wait()
		assert.EqualValues(t, 2, a.count.Load(), "who goes away takes no answer from others")
		time.Sleep(14 * time.Second)
		_, err := a.get(t.Context(), q)
		require.NoError(t, err)
		assert.EqualValues(t, 2, a.count.Load())
		time.Sleep(2 * time.Second)
		_, err = a.get(t.Context(), q)
		require.NoError(t, err)
		assert.EqualValues(t, 3, a.count.Load(), "an interval later there is something new")
	})
}

func TestWhatIsKeptAndWhatRunsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked()
		var viewers sync.WaitGroup
		for n := range 2 * maxAnswers {
			viewers.Go(func() {
				_, err := a.get(t.Context(), rangeQuery{expr: "x", end: int64(n)})
				assert.NoError(t, err)
			})
		}
		synctest.Wait()
		assert.EqualValues(t, maxQueries, a.count.Load(), "the others wait")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := a.get(gone, rangeQuery{expr: "y"})
		require.ErrorIs(t, err, context.Canceled, "while waiting to run")
		viewers.Wait()
		assert.Equal(t, maxAnswers, a.size())

		for _, change := range []func(){func() { a.points = maxAnswerPoints + 1 }, func() { a.points, a.fail = 1, errors.New("failed") }} {
			change()
			before := a.count.Load()
			for range 2 {
				_, _ = a.get(t.Context(), rangeQuery{expr: "large or failed"})
			}
			assert.Equal(t, before+2, a.count.Load(), "not kept")
		}
	})
}

func TestViewersOfOneStepAskTheSame(t *testing.T) {
	ask := func(start, end string) rangeQuery {
		q, err := rangeOf(url.Values{"query": {"x"}, "start": {start}, "end": {end}, "step": {"15"}})
		require.NoError(t, err)
		return q
	}
	assert.Equal(t, rangeQuery{expr: "x", start: 1785_000, end: 3585_000, step: 15 * time.Second}, ask("1785.1", "3585.1"))
	assert.Equal(t, ask("1785.1", "3585.1"), ask("1799.9", "3599.9"))
	assert.NotEqual(t, ask("1785.1", "3585.1"), ask("1800", "3600"))
}

func TestJSONHasOnlyNumbers(t *testing.T) {
	matrix := make(promql.Matrix, maxSeries+1)
	matrix[0].Floats = []promql.FPoint{{T: 1000, F: 7}, {T: 2000, F: math.NaN()}, {T: 3000, F: math.Inf(1)}}
	found := drawn(matrix)
	assert.Len(t, found, maxSeries)
	assert.Equal(t, [][2]float64{{1, 7}}, found[0].Points)
}
