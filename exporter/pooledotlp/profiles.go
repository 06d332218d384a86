package pooledotlp

import (
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/profiles"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// The bytes of two requests with profiles cannot be joined, as the indices in each point into its own dictionary, nor those of one
// divided. For that, and only for that, they are decoded.

// joinProfiles returns the profiles of both, which stay as they are.
func joinProfiles(a, b *wire.Request, buffers mem.BufferPool) (*wire.Request, error) {
	whole := profiles.New()
	for _, w := range []*wire.Request{a, b} {
		set, err := decodeProfiles(w)
		if err != nil {
			return nil, err
		}
		whole.Append(set)
	}
	return wire.FromProfiles(whole.Profiles, buffers)
}

func decodeProfiles(w *wire.Request) (*profiles.Set, error) {
	data, err := w.Profiles()
	if err != nil {
		return nil, err
	}
	return profiles.Of(data)
}

// split is wire.Request.Split for any signal.
func split(w *wire.Request, maxItems, maxBytes int, buffers mem.BufferPool) ([]*wire.Request, error) {
	d := division{maxItems: maxItems, maxBytes: maxBytes, buffers: buffers}
	if w.Signal() != wire.Profiles || d.fits(w.Items(), w.Bytes()) {
		return w.Split(maxItems, maxBytes, buffers)
	}
	set, err := decodeProfiles(w)
	if err == nil {
		err = d.add(set)
	}
	if err != nil {
		for _, part := range d.parts {
			part.Free()
		}
		return nil, err
	}
	w.Free()
	return d.parts, nil
}

// division divides profiles to parts within limits, of which 0 is none.
type division struct {
	maxItems, maxBytes int
	buffers            mem.BufferPool
	parts              []*wire.Request
}

func (d *division) fits(items, bytes int) bool {
	return (d.maxItems == 0 || items <= d.maxItems) && (d.maxBytes == 0 || bytes <= d.maxBytes)
}

// add uses the set up. How large a part of it is, encoding tells: what a part needs of the dictionary goes with it. So a set with too many
// bytes is halved until it fits, or is a single sample.
func (d *division) add(set *profiles.Set) error {
	for {
		items := set.SampleCount()
		head := (items + 1) / 2
		switch {
		case d.fits(items, 0):
			w, err := wire.FromProfiles(set.Profiles, d.buffers)
			if err != nil {
				return err
			}
			if items < 2 || d.fits(items, w.Bytes()) {
				d.parts = append(d.parts, w)
				return nil
			}
			w.Free()
		case d.maxBytes == 0:
			head = d.maxItems
		default:
			head = min(head, d.maxItems)
		}
		if err := d.add(set.Cut(head)); err != nil {
			return err
		}
	}
}
