// Prints the tokens of Lucene's StandardTokenizer ("standard") or EnglishAnalyzer ("english") for each line of input.
// A line is a text, and each token that comes out, as hexadecimal UTF-16 code units: nothing can be lost on the way.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.apache.lucene.analysis.standard.StandardTokenizer;
import org.apache.lucene.analysis.tokenattributes.CharTermAttribute;

public class LuceneEnglish {
  public static void main(String[] arguments) throws Exception {
    Analyzer analyzer = arguments[0].equals("english") ? new EnglishAnalyzer() : new Analyzer() {
      @Override
      protected TokenStreamComponents createComponents(String field) {
        return new TokenStreamComponents(new StandardTokenizer());
      }
    };
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      StringBuilder text = new StringBuilder();
      for (int place = 0; place < line.length(); place += 4) {
        text.append((char) Integer.parseInt(line.substring(place, place + 4), 16));
      }
      StringBuilder output = new StringBuilder();
      try (TokenStream tokens = analyzer.tokenStream("", new StringReader(text.toString()))) {
        CharTermAttribute term = tokens.addAttribute(CharTermAttribute.class);
        tokens.reset();
        while (tokens.incrementToken()) {
          for (int place = 0; place < term.length(); place++) {
            output.append(String.format("%04x", (int) term.charAt(place)));
          }
          output.append(' ');
        }
        tokens.end();
      }
      System.out.println(output.toString().strip());
    }
  }
}
