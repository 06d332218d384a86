package wire

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"google.golang.org/grpc/mem"
)

// Profiles travel as a Request too, so that who queues and sends requests needs to know one type. But the indices in them
// point into one dictionary for each request: they can neither be joined nor divided as bytes, and are checked by decoding
// them.

var errIndivisible = errors.New("profiles cannot be divided as bytes")

// FromProfiles encodes profiles once, into a buffer of the pool. The profiles are only read.
func FromProfiles(pd pprofile.Profiles, pool mem.BufferPool) (*Request, error) {
	e := encoding{Context: context.Background(), pool: pool}
	_, err := encoders.profiles.Export(&e, pprofileotlp.NewExportRequestFromProfiles(pd))
	return e.request(Profiles, pd.SampleCount(), err)
}

// Profiles decodes the request, which must carry profiles. The result shares no memory with it.
func (r *Request) Profiles() (pprofile.Profiles, error) {
	request := pprofileotlp.NewExportRequest()
	err := r.decode(Profiles, request.UnmarshalProto)
	return request.Profiles(), err
}

// checkProfiles is Check for profiles. What pdata refuses has no offset: it does not tell.
func checkProfiles(data mem.BufferSlice) (*Request, error) {
	r := &Request{signal: Profiles, buffers: data, bytes: data.Len()}
	pd, err := r.Profiles()
	if err != nil {
		return nil, fmt.Errorf("malformed profiles request: %w", err)
	}
	r.items = pd.SampleCount()
	return r, nil
}
