package adaptivebatch

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/profiles"
)

// profilesProcessor carries profiles. They are never bytes here: requests of profiles cannot be joined by putting one after the other, as
// each has a dictionary.
type profilesProcessor struct {
	*batcher
	signal decodedSignal[*profiles.Set]
}

func newProfiles(b *batcher, next xconsumer.Profiles) *profilesProcessor {
	mutates := next.Capabilities().MutatesData
	return &profilesProcessor{batcher: b, signal: decodedSignal[*profiles.Set]{
		items:     func(s *profiles.Set) int { return s.SampleCount() },
		size:      func(s *profiles.Set) int { return (&pprofile.ProtoMarshaler{}).ProfilesSize(s.Profiles) },
		resources: func(s *profiles.Set) int { return s.ResourceProfiles().Len() },
		move:      (*profiles.Set).Append,
		copyOf:    (*profiles.Set).Copy,
		cut:       (*profiles.Set).Cut,
		place:     func(_ *profiles.Set, n, _ int) (place, bool) { return place{items: n}, true },
		own:       func(s *profiles.Set) { pref.MarkPipelineOwnedProfiles(s.Profiles) },
		consume: func(ctx context.Context, s *profiles.Set) error {
			if !mutates {
				// Else encoding would replace attributes by references into the dictionary, and parts could not be sent again.
				s.MarkReadOnly()
			}
			return next.ConsumeProfiles(ctx, s.Profiles)
		},
		mutates: mutates,
	}}
}

// ConsumeProfiles returns when the backend has answered for these samples (with `wait_for_result: false`: when there is room for
// them). Profiles with a reference that points to nothing are refused, as no other caller's could be joined to them. It can be called
// by many at once, and leaves the profiles as they are.
func (p *profilesProcessor) ConsumeProfiles(ctx context.Context, pd pprofile.Profiles) error {
	set, err := profiles.Of(pd)
	if err != nil {
		return consumererror.NewPermanent(fmt.Errorf("invalid profiles: %w", err))
	}
	return p.consume(ctx, p.signal.payload(set), decodedKind, nil)
}

// Capabilities implements consumer: what is sent on is a copy.
func (p *profilesProcessor) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }
