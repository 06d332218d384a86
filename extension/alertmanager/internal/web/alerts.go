package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
)

// activeAlert is an incident with what delivery knows of it.
type activeAlert struct {
	incidents.Incident
	SilencedBy  []string `json:"silenced_by"`
	InhibitedBy []string `json:"inhibited_by"`
}

func (s *Server) alerts(w http.ResponseWriter, _ *http.Request) {
	delivered := map[model.Fingerprint]delivery.Active{}
	for _, d := range s.Delivery.Active() {
		delivered[d.Fingerprint()] = d
	}
	result := []activeAlert{}
	for _, i := range s.Tracker.Active() {
		a := activeAlert{Incident: i, SilencedBy: []string{}, InhibitedBy: []string{}}
		d := delivered[incidents.LabelSet(i.Labels).Fingerprint()]
		a.SilencedBy = append(a.SilencedBy, d.SilencedBy...)
		a.InhibitedBy = append(a.InhibitedBy, d.InhibitedBy...)
		result = append(result, a)
	}
	answer(w, http.StatusOK, result)
}

// order is what somebody asks to be done with an alert.
type order struct {
	Who   string    `json:"who"`
	Why   string    `json:"why"`
	Until time.Time `json:"until"`
}

func readOrder(w http.ResponseWriter, r *http.Request) (order, error) {
	var o order
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		return o, fmt.Errorf("the body must be a JSON object with `who`, `why` and `until`: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("the body must be one JSON object, found more after it")
	}
	return o, nil
}

func (s *Server) acknowledge(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(w, r)
	if err == nil {
		err = s.Tracker.Acknowledge(r.Context(), r.PathValue("id"), o.Who, o.Why, o.Until)
	}
	done(w, err)
}

func (s *Server) unacknowledge(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(w, r)
	if err == nil && !o.Until.IsZero() {
		err = errors.New("`until` is not for this: an acknowledgement is taken back at once")
	}
	if err == nil {
		err = s.Tracker.Unacknowledge(r.Context(), r.PathValue("id"), o.Who, o.Why)
	}
	done(w, err)
}

func (s *Server) resolve(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(w, r)
	if err == nil && !o.Until.IsZero() {
		err = errors.New("`until` is not for resolving: the alert stays quiet until its rule clears")
	}
	if err == nil {
		err = s.Tracker.Resolve(r.Context(), r.PathValue("id"), o.Who, o.Why)
	}
	done(w, err)
}

func done(w http.ResponseWriter, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	q, err := incidentQuery(r.URL.Query())
	q.Limit = 100
	if v := r.URL.Query().Get("limit"); v != "" {
		n, wrong := strconv.Atoi(v)
		if wrong != nil || n < 1 {
			err = errors.Join(err, fmt.Errorf("`limit` must be a number from 1, found %q", v))
		}
		q.Limit = n
	}
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, s.Tracker.History(q))
}

func (s *Server) statistics(w http.ResponseWriter, r *http.Request) {
	q, err := incidentQuery(r.URL.Query())
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, s.Tracker.Statistics(q))
}

func incidentQuery(values url.Values) (incidents.Query, error) {
	q := incidents.Query{Name: values.Get("name"), Severity: values.Get("severity")}
	var errs []error
	for key, field := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if v := values.Get(key); v != "" {
			var err error
			if *field, err = time.Parse(time.RFC3339, v); err != nil {
				errs = append(errs, fmt.Errorf("`%s` must be a time of RFC 3339, found %q", key, v))
			}
		}
	}
	return q, errors.Join(errs...)
}
