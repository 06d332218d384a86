package web

import (
	"context"
	_ "embed" // for the API's description
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"
	prometheusrules "github.com/prometheus/prometheus/rules"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
)

// Engine is what is asked of the rules.
type Engine interface {
	Groups() []*prometheusrules.Group
	QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) (promql.Matrix, error)
}

// Delivery is what is asked of delivery.
type Delivery interface {
	Active() []delivery.Active
	APIHandler() http.Handler
}

// Parts are what is served.
type Parts struct {
	Engine   Engine
	Delivery Delivery
	Tracker  *incidents.Tracker
	Bus      *events.Bus
	// Interval is how often rules are evaluated; for so long the answer to a query is kept.
	Interval time.Duration
	// Stopping is closed when the server is about to stop, so that event streams end.
	Stopping <-chan struct{}
	// CheckHost refuses requests for other hosts than loopback and Hosts, which may have a port.
	CheckHost bool
	Hosts     []string
}

// Server serves everything. Its methods may be called at the same time.
type Server struct {
	Parts
	courses courses
	handler http.Handler
}

// Stats are figures of a server.
type Stats struct {
	// Queries run now, Cached answers to queries are kept.
	Queries, Cached int
}

// Stats returns the figures of now.
func (s *Server) Stats() Stats {
	return Stats{Queries: len(s.courses.running), Cached: s.courses.size()}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

//go:embed openapi.yaml
var openAPI []byte

// maxBody bounds the body of a request to the API under /api/v1/.
const maxBody = 64 << 10

// route is a method and a path of the API under /api/v1/.
type route struct {
	method, path string
	handler      http.HandlerFunc
}

// routes are described in openapi.yaml.
func (s *Server) routes() []route {
	return []route{
		{http.MethodGet, "/api/v1/alerts", s.alerts},
		{http.MethodPost, "/api/v1/alerts/{id}/acknowledge", s.acknowledge},
		{http.MethodPost, "/api/v1/alerts/{id}/unacknowledge", s.unacknowledge},
		{http.MethodPost, "/api/v1/alerts/{id}/resolve", s.resolve},
		{http.MethodGet, "/api/v1/alerts/{id}/course", s.course},
		{http.MethodGet, "/api/v1/history", s.history},
		{http.MethodGet, "/api/v1/statistics", s.statistics},
		{http.MethodGet, "/api/v1/rules", s.rules},
		{http.MethodGet, "/api/v1/query_range", s.queryRange},
		{http.MethodGet, "/api/v1/events", s.events},
		{http.MethodGet, "/api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(openAPI)
		}},
	}
}

// NewServer returns a server of the parts.
func NewServer(parts Parts) *Server {
	s := &Server{Parts: parts, courses: courses{
		ask: func(ctx context.Context, q rangeQuery) (promql.Matrix, error) {
			return parts.Engine.QueryRange(ctx, q.expr, time.UnixMilli(q.start), time.UnixMilli(q.end), q.step)
		},
		kept: parts.Interval, running: make(chan struct{}, maxQueries), answers: map[rangeQuery]*courseAnswer{},
	}}
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, r.handler)
	}
	mux.Handle("/api/v2/", parts.Delivery.APIHandler())
	mux.Handle("/", page())
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden, problem{Error: "a page of another site has sent this request"})
	}))
	s.handler = protection.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	}))
	if parts.CheckHost {
		allowed := make([]string, len(parts.Hosts))
		for i, host := range parts.Hosts {
			allowed[i] = hostOf(host)
		}
		s.handler = checkHost(s.handler, allowed)
	}
	return s
}

// problem is the answer to a request that failed.
type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // an answer that nobody takes is no fault of ours
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, incidents.ErrUnknown):
		status = http.StatusNotFound
	case errors.Is(err, events.ErrTooMany):
		status = http.StatusServiceUnavailable
	}
	answer(w, status, problem{Error: err.Error()})
}
