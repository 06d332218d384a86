package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// Bounds of a query: what a plot can show.
const (
	maxPoints = 2000
	maxSeries = 50
	// maxQueries run at a time: each may hold 80 MB.
	maxQueries = 4
)

// Bounds of what is kept for the next who asks: 16 MB of points.
const (
	maxAnswers      = 100
	maxAnswerPoints = 10_000
)

// series is a course of values; points are [seconds since 1970, value].
type series struct {
	Labels map[string]string `json:"labels"`
	Points [][2]float64      `json:"points"`
}

// rangeQuery is a PromQL expression to be evaluated at every step from start to end, in milliseconds since 1970.
type rangeQuery struct {
	expr       string
	start, end int64
	step       time.Duration
}

// courses answers queries and keeps each answer for a while: the page of every viewer asks the same. Its methods may be called at the
// same time.
type courses struct {
	ask  func(context.Context, rangeQuery) (promql.Matrix, error)
	kept time.Duration
	// running has room for those that may run.
	running chan struct{}

	mu      sync.Mutex
	answers map[rangeQuery]*courseAnswer
}

// courseAnswer is the answer to one query.
type courseAnswer struct {
	// turn is held by whoever reads or makes the answer: others who ask the same wait for it.
	turn   chan struct{}
	matrix promql.Matrix
	until  time.Time // zero without an answer
}

// get returns the answer that is kept, or evaluates the query. Nobody may change it.
func (c *courses) get(ctx context.Context, q rangeQuery) (promql.Matrix, error) {
	a := c.answer(q)
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if time.Now().Before(a.until) {
		return a.matrix, nil
	}
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	matrix, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	points := 0
	for i := range matrix {
		points += len(matrix[i].Floats)
	}
	if points <= maxAnswerPoints {
		a.matrix, a.until = matrix, time.Now().Add(c.kept)
	}
	return matrix, nil
}

// answer returns the place for a query's answer. When there are too many, the one whose range ends first makes room.
func (c *courses) answer(q rangeQuery) *courseAnswer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.answers[q]; a != nil {
		return a
	}
	if len(c.answers) >= maxAnswers {
		delete(c.answers, slices.MinFunc(slices.Collect(maps.Keys(c.answers)), func(a, b rangeQuery) int { return cmp.Compare(a.end, b.end) }))
	}
	a := &courseAnswer{turn: make(chan struct{}, 1)}
	c.answers[q] = a
	return a
}

func (c *courses) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.answers)
}

// drawn returns what a plot can show of a matrix.
func drawn(matrix promql.Matrix) []series {
	found := []series{}
	for i := range matrix[:min(len(matrix), maxSeries)] {
		found = append(found, series{Labels: matrix[i].Metric.Map(), Points: numbers(matrix[i].Floats)})
	}
	return found
}

// numbers returns the points that JSON has a form for.
func numbers(floats []promql.FPoint) [][2]float64 {
	points := [][2]float64{}
	for _, p := range floats {
		if !math.IsNaN(p.F) && !math.IsInf(p.F, 0) {
			points = append(points, [2]float64{float64(p.T) / 1000, p.F})
		}
	}
	return points
}

func (s *Server) queryRange(w http.ResponseWriter, r *http.Request) {
	q, err := rangeOf(r.URL.Query())
	if err != nil {
		fail(w, err)
		return
	}
	found, err := s.courses.get(r.Context(), q)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, drawn(found))
}

// rangeOf reads a query with its range.
func rangeOf(values url.Values) (rangeQuery, error) {
	q, err := stepsOf(values)
	if q.expr = values.Get("query"); q.expr == "" {
		err = errors.Join(errors.New("`query` must not be empty"), err)
	}
	return q, err
}

// stepsOf moves start and end back to whole steps, so that all who ask within a step ask the same.
func stepsOf(values url.Values) (rangeQuery, error) {
	var errs []error
	number := func(key string) float64 {
		f, err := strconv.ParseFloat(values.Get(key), 64)
		if err != nil || math.IsNaN(f) || math.Abs(f) > 1e11 {
			errs = append(errs, fmt.Errorf("`%s` must be a number of seconds, found %q", key, values.Get(key)))
		}
		return f
	}
	from, to, width := number("start"), number("end"), number("step")
	if len(errs) == 0 && (width < 1 || to < from || (to-from)/width > maxPoints) {
		errs = append(errs, fmt.Errorf("from `start` to `end` there must be at most %d steps of at least one second, found start %g, end %g, step %g",
			maxPoints, from, to, width))
	}
	whole := func(f float64) int64 { return int64(math.Floor(f/width) * width * 1000) }
	return rangeQuery{start: whole(from), end: whole(to), step: time.Duration(width * float64(time.Second))}, errors.Join(errs...)
}
