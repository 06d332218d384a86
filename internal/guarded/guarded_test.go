package guarded

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type decompressor struct {
	io.Reader
	closed int
}

func (d *decompressor) Close() error { d.closed++; return errors.New("closed") }

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("no") }

func TestAPanicIsAnError(t *testing.T) {
	_, err := Open(func() (io.Reader, error) { panic("no") })
	require.EqualError(t, err, "decompression panic: no")

	d := &decompressor{Reader: io.MultiReader(strings.NewReader("some"), panicking{})}
	r, err := Open(func() (io.Reader, error) { return d, nil })
	require.NoError(t, err)
	read, err := io.ReadAll(r)
	require.EqualError(t, err, "decompression panic: no")
	assert.Equal(t, "some", string(read))
	require.NoError(t, r.Close())
	assert.Zero(t, d.closed, "it is in no known state")
}

func TestWithoutAPanicItIsTheDecompressor(t *testing.T) {
	no := errors.New("no")
	_, err := Open(func() (io.Reader, error) { return nil, no })
	require.ErrorIs(t, err, no)

	d := &decompressor{Reader: iotest.ErrReader(no)}
	r, err := Open(func() (io.Reader, error) { return d, nil })
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, no)
	require.EqualError(t, r.Close(), "closed")
	assert.Equal(t, 1, d.closed)

	r, err = Open(func() (io.Reader, error) { return strings.NewReader("all"), nil })
	require.NoError(t, err)
	read, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "all", string(read))
	require.NoError(t, r.Close(), "not every one can be closed")
}
