package simulate

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"time"
)

// bestCSV holds what BestFixed found for every pair with seed Seed. `go run ./cmd/sweep best_fixed.csv`, run here,
// makes it anew; that takes minutes, so `make generate` does not.
//
//go:embed best_fixed.csv
var bestCSV []byte

// Seed is that of the sweep that is kept.
const Seed = 1

var bestHeader = []string{"load", "backend", "size", "timeout", "concurrency", "p50", "p99", "answered", "requests", "items"}

// MarshalBest writes the result of a sweep, in the order of Pairs. Pairs that no fixed configuration carries are left out.
func MarshalBest(pairs []Pair, best []Best) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	rows := [][]string{bestHeader}
	for i, p := range pairs {
		b := best[i]
		if !b.Found {
			continue
		}
		rows = append(rows, []string{
			p.Load.Name, p.Backend.Name, strconv.Itoa(b.Fixed.Size), b.Fixed.Timeout.String(), strconv.Itoa(b.Fixed.Concurrency),
			b.Result.P50.String(), b.Result.P99.String(), strconv.Itoa(b.Result.Answered),
			strconv.Itoa(b.Result.Requests), strconv.Itoa(b.Result.Items),
		})
	}
	err := w.WriteAll(rows)
	return out.Bytes(), err
}

// KeptBest returns the kept result of the sweep by the name of the pair.
func KeptBest() (map[string]Best, error) {
	rows, err := csv.NewReader(bytes.NewReader(bestCSV)).ReadAll()
	if err != nil {
		return nil, err
	}
	all := map[string]Best{}
	for i, row := range rows[1:] {
		b, err := unmarshalBest(row)
		if err != nil {
			return nil, fmt.Errorf("best_fixed.csv, row %d: %w", i+2, err)
		}
		all[row[0]+", "+row[1]] = b
	}
	return all, nil
}

func unmarshalBest(row []string) (Best, error) {
	b := Best{Found: true}
	for column, to := range map[int]*int{
		2: &b.Fixed.Size, 4: &b.Fixed.Concurrency, 7: &b.Result.Answered, 8: &b.Result.Requests, 9: &b.Result.Items,
	} {
		n, err := strconv.Atoi(row[column])
		if err != nil {
			return b, fmt.Errorf("%s: %w", bestHeader[column], err)
		}
		*to = n
	}
	for column, to := range map[int]*time.Duration{3: &b.Fixed.Timeout, 5: &b.Result.P50, 6: &b.Result.P99} {
		d, err := time.ParseDuration(row[column])
		if err != nil {
			return b, fmt.Errorf("%s: %w", bestHeader[column], err)
		}
		*to = d
	}
	return b, nil
}
