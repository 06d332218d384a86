package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestThePlotsAreThoseOfThisController holds the README to what the controller does.
func TestThePlotsAreThoseOfThisController(t *testing.T) {
	all := pairs()
	require.Len(t, all, len(drawn))
	for _, pair := range all {
		made := draw(pair)
		decoder := xml.NewDecoder(bytes.NewReader(made))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err)
			}
		}
		kept, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", pair.Load.Name+".svg"))
		require.NoError(t, err)
		assert.Equal(t, string(kept), string(made), "run `go generate ./processor/adaptivebatch/...`")
	}
}
