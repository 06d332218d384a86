package pooledotlp

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"

	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/unaryhttp"
)

const (
	typeProto = "application/x-protobuf"
	typeJSON  = "application/json"
	typeText  = "text/plain"
)

// newMux serves the endpoints under their configured paths.
func (r *otlpReceiver) newMux(endpoints []endpoint) *http.ServeMux {
	mux := http.NewServeMux()
	for _, e := range endpoints {
		mux.Handle(pathOf(r.cfg.Protocols.HTTP.Get(), e), &handler{endpoint: e, receiver: r})
	}
	return mux
}

// pathOf returns where an endpoint is served.
func pathOf(cfg *otlpreceiver.HTTPConfig, e endpoint) string {
	switch e.names() {
	case tracesNames:
		return string(cfg.TracesURLPath)
	case metricsNames:
		return string(cfg.MetricsURLPath)
	case logsNames:
		return string(cfg.LogsURLPath)
	default:
		return profilesPath
	}
}

// handler serves one endpoint over HTTP. Bodies come decompressed.
type handler struct {
	endpoint endpoint
	receiver *otlpReceiver
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
	watch := watchBody(http.NewResponseController(w).SetReadDeadline, r.ContentLength, h.receiver.reading)
	var reserved bufpool.Reservation
	defer reserved.End()
	body, err := readBody(r.Body, r.ContentLength, h.receiver.buffers, h.receiver.reading, &reserved)
	reserved.End() // whoever handles it has bounds of its own
	defer body.Free()
	if cut := watch.end(); errors.Is(err, bufpool.ErrNoRoom) || cut {
		write(w, answerTo(contentType, nil, status.Error(codes.Unavailable, bufpool.ErrNoRoom.Error())))
		return
	}
	if err = errors.Join(err, r.Body.Close()); err != nil {
		write(w, h.receiver.unreadableBody(contentType, err))
		return
	}
	accepted := h.endpoint.answers().proto
	if contentType == typeProto {
		err = h.endpoint.exportProto(r.Context(), body)
	} else {
		accepted = h.endpoint.answers().json
		err = h.exportJSON(r, body)
	}
	write(w, answerTo(contentType, accepted, err))
}

// unreadableBody counts and answers a request whose body could not be read: it is cut short, too large, or not compressed as it says, or it
// took longer than `read_timeout`, and may be sent again.
func (r *otlpReceiver) unreadableBody(contentType string, err error) unaryhttp.Answer {
	r.unreadable.Add(1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return answerTo(contentType, nil, status.Error(codes.Unavailable, "the body took longer than read_timeout"))
	}
	return statusAnswer(contentType, http.StatusBadRequest, statusFor(err.Error(), http.StatusBadRequest))
}

// answerTo answers with what an endpoint said.
func answerTo(contentType string, accepted []byte, err error) unaryhttp.Answer {
	if err != nil {
		s := status.Convert(err)
		return statusAnswer(contentType, httpCode(s.Code()), s)
	}
	return unaryhttp.Answer{Code: http.StatusOK, ContentType: contentType, Body: accepted}
}

func (h *handler) exportJSON(r *http.Request, body mem.BufferSlice) error {
	whole := body.MaterializeToBuffer(h.receiver.buffers)
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
	write(w, unaryhttp.Answer{Code: code, ContentType: typeText, Body: fmt.Appendf(nil, "%d %s", code, text)})
}

func write(w http.ResponseWriter, a unaryhttp.Answer) {
	w.Header().Set("Content-Type", a.ContentType)
	if a.RetryAfter != "" {
		w.Header().Set("Retry-After", a.RetryAfter)
	}
	w.WriteHeader(a.Code)
	_, _ = w.Write(a.Body) // the client is gone; there is nobody to tell
}
