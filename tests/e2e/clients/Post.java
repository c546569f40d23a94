import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;

/** Java's HttpClient as it comes: java Post.java URL FILE TIMES [KEY]. Prints the status of each answer. */
public class Post {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 0; i < Integer.parseInt(arguments[2]); i++) {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(arguments[0]))
                    .header("Content-Type", "image/jpeg")
                    .POST(BodyPublishers.ofFile(Path.of(arguments[1])));
            if (arguments.length > 3) {
                request.header("Authorization", "Bearer " + arguments[3]);
            }
            try {
                System.out.println(client.send(request.build(), BodyHandlers.ofString()).statusCode());
            } catch (java.io.IOException error) {
                System.out.println(error);
            }
        }
    }
}
