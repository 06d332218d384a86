package pooledotlp

import (
	"errors"
	"fmt"
	"mime"
	"net/http"

	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

const (
	typeProto = "application/x-protobuf"
	typeJSON  = "application/json"
	typeText  = "text/plain"
)

// newMux serves the endpoints under their configured paths.
func newMux(cfg *otlpreceiver.HTTPConfig, endpoints []endpoint, buffers mem.BufferPool, reading *bufpool.Budget) *http.ServeMux {
	paths := map[string]string{
		tracesNames.signal:   string(cfg.TracesURLPath),
		metricsNames.signal:  string(cfg.MetricsURLPath),
		logsNames.signal:     string(cfg.LogsURLPath),
		profilesNames.signal: profilesPath,
	}
	mux := http.NewServeMux()
	for _, e := range endpoints {
		mux.Handle(paths[e.names().signal], &handler{endpoint: e, buffers: buffers, reading: reading})
	}
	return mux
}

// handler serves one endpoint over HTTP. Bodies come decompressed.
type handler struct {
	endpoint endpoint
	buffers  mem.BufferPool
	reading  *bufpool.Budget
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		refuse(w, http.StatusMethodNotAllowed, "method not allowed, supported: [POST]")
		return
	}
	contentType := mediaType(r)
	if contentType != typeProto && contentType != typeJSON {
		refuse(w, http.StatusUnsupportedMediaType, "unsupported media type, supported: [application/json, application/x-protobuf]")
		return
	}
	watch := watchBody(w, r.ContentLength, h.reading)
	body, err := readBody(r.Body, r.ContentLength, h.buffers, h.reading)
	defer body.Free()
	if cut := watch.end(); errors.Is(err, bufpool.ErrNoRoom) || cut {
		writeError(w, contentType, status.Error(codes.Unavailable, bufpool.ErrNoRoom.Error()))
		return
	}
	if err = errors.Join(err, r.Body.Close()); err != nil {
		writeStatus(w, contentType, http.StatusBadRequest, statusFor(err.Error(), http.StatusBadRequest))
		return
	}
	answer := h.endpoint.answers().proto
	if contentType == typeProto {
		err = h.endpoint.exportProto(r.Context(), body)
	} else {
		answer = h.endpoint.answers().json
		err = h.exportJSON(r, body)
	}
	if err != nil {
		writeError(w, contentType, err)
		return
	}
	write(w, contentType, http.StatusOK, answer)
}

func (h *handler) exportJSON(r *http.Request, body mem.BufferSlice) error {
	whole := body.MaterializeToBuffer(h.buffers)
	defer whole.Free()
	return h.endpoint.exportJSON(r.Context(), whole.ReadOnlyData())
}

// mediaType returns the content type in lower case and without parameters; "" if it is none.
func mediaType(r *http.Request) string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// refuse answers requests that are not OTLP, in plain text.
func refuse(w http.ResponseWriter, code int, text string) {
	write(w, typeText, code, fmt.Appendf(nil, "%d %s", code, text))
}

func write(w http.ResponseWriter, contentType string, code int, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client is gone; there is nobody to tell
}
