package web

import (
	"context"
	_ "embed" // for the API's description
	"encoding/json"
	"errors"
	"log/slog"
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
	// Stopping is closed when the server is about to stop, so that event streams end.
	Stopping <-chan struct{}
	Logger   *slog.Logger
}

type server struct {
	Parts
	queries chan struct{} // has room for those that may run
}

//go:embed openapi.yaml
var openAPI []byte

// maxBody bounds the body of a request to the API under /api/v1/.
const maxBody = 64 << 10

// NewHandler returns the handler of everything.
func NewHandler(parts Parts) http.Handler {
	s := &server{Parts: parts, queries: make(chan struct{}, maxQueries)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/alerts", s.alerts)
	mux.HandleFunc("POST /api/v1/alerts/{id}/acknowledge", s.acknowledge)
	mux.HandleFunc("POST /api/v1/alerts/{id}/resolve", s.resolve)
	mux.HandleFunc("GET /api/v1/history", s.history)
	mux.HandleFunc("GET /api/v1/statistics", s.statistics)
	mux.HandleFunc("GET /api/v1/rules", s.rules)
	mux.HandleFunc("GET /api/v1/query_range", s.queryRange)
	mux.HandleFunc("GET /api/v1/events", s.events)
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openAPI)
	})
	mux.Handle("/api/v2/", parts.Delivery.APIHandler())
	mux.Handle("/", page())
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	}))
}

// problem is the answer to a request that failed.
type problem struct {
	Error string `json:"error"`
}

func (s *server) answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(value); err != nil {
		s.Logger.Debug("an answer was not taken", "err", err)
	}
}

func (s *server) fail(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if errors.Is(err, incidents.ErrUnknown) {
		status = http.StatusNotFound
	}
	s.answer(w, status, problem{Error: err.Error()})
}
